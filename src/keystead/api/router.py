"""From a path to its rows in the route table, by dictionary: no pattern is tried at run time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from keystead.api.errors import HttpError
from keystead.api.route import Route

GLOB = "*"

RECENT_PATHS: Final = 4096
"""Whose match is remembered; those of one key each are asked for again and again."""
LONGEST_RECENT_PATH: Final = 256
"""In characters: paths that anyone can make up must not fill the memory."""


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    parameter_name: str = ""
    rows: dict[str, Route] = field(default_factory=dict)
    globs: dict[str, Route] = field(default_factory=dict)


class Match(NamedTuple):
    """The rows of a path, by method, and the decoded segments that its template names."""

    rows: Mapping[str, Route]
    parameters: Mapping[str, str]


class Router:
    """All templates of the route table as one tree of path segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._recent = lru_cache(maxsize=RECENT_PATHS)(self._walk)
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        segments = (route.root + route.path).removeprefix("/").split("/")
        is_glob = segments[-1].endswith("}" + GLOB)
        for segment in segments:
            node = _child(node, segment.removesuffix(GLOB) if is_glob else segment)
        rows = node.globs if is_glob else node.rows
        rows[route.method] = route
        if route.answers_head:
            rows["HEAD"] = route

    def match(self, path: str) -> Match:
        """Return what `path` (percent-encoded) leads to; HttpError 404 when nowhere.

        One trailing slash is accepted. A last segment that ends in `*` means the glob rows, where
        there are some.
        """
        return self._recent(path) if len(path) <= LONGEST_RECENT_PATH else self._walk(path)

    def _walk(self, path: str) -> Match:
        node = self._root
        parameters: dict[str, str] = {}
        segment = ""
        for segment in path[1:].removesuffix("/").split("/"):
            child = node.children.get(segment)
            if child is None:
                child = node.parameter
                if child is None:
                    raise HttpError(404, "Not found.")
                parameters[node.parameter_name] = _decode(segment)
            node = child
        if node.globs and segment.endswith(GLOB):
            return Match(node.globs, parameters)
        if not node.rows:
            raise HttpError(404, "Not found.")
        return Match(node.rows, parameters)


def _child(node: _Node, segment: str) -> _Node:
    if not segment.startswith("{"):
        return node.children.setdefault(segment, _Node())
    name = segment.strip("{}")
    if node.parameter is None:
        node.parameter, node.parameter_name = _Node(), name
    if node.parameter_name != name:
        raise ValueError(f"two names for one place: {node.parameter_name}, {name}")
    return node.parameter


def _decode(segment: str) -> str:
    if "%" not in segment:
        return segment
    return unquote_to_bytes(segment).decode("utf-8", "replace")
