"""Finds the rows of a path in the route table by dictionaries, without patterns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from keystead.api.http.route import Route
from keystead.api.http.statuses import PathUnknown

GLOB = "*"

RECENT_PATHS: Final = 4096
"""The number of paths whose match is cached. The paths of a key are requested repeatedly."""
LONGEST_RECENT_PATH: Final = 256
"""The longest cached path, in characters. Invented paths must not fill the memory."""


class _Node(msgspec.Struct):
    children: dict[str, "_Node"] = msgspec.field(default_factory=dict)
    parameter: "_Node | None" = None
    parameter_name: str = ""
    rows: dict[str, Route] = msgspec.field(default_factory=dict)
    globs: dict[str, Route] = msgspec.field(default_factory=dict)


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
        """Return the match of a percent-encoded `path`. Raises PathUnknown if there is none.

        One trailing slash is accepted. A last segment that ends in `*` means the glob rows, where
        there are some. A path that has rows of its own (`/keys/generate`) has no others: a key of
        that ID, which a backup may bring, is moved before it can be shown or deleted.
        """
        return self._recent(path) if len(path) <= LONGEST_RECENT_PATH else self._walk(path)

    def _walk(self, path: str) -> Match:
        if not path.startswith("/"):  # `OPTIONS *`, or what no client sends.
            raise PathUnknown
        segments = path[1:].removesuffix("/").split("/")
        for node, parameters in _ends(self._root, segments):
            if node.globs and segments[-1].endswith(GLOB):
                return Match(node.globs, parameters)
            if node.rows:
                return Match(node.rows, parameters)
        raise PathUnknown


def _ends(node: _Node, segments: Sequence[str]) -> Iterator[tuple[_Node, dict[str, str]]]:
    """Yield every node that the segments lead to, and the parameters; fixed segments first."""
    if not segments:
        yield node, {}
        return
    segment, *rest = segments
    child = node.children.get(segment)
    if child is not None:
        yield from _ends(child, rest)
    if node.parameter is not None:
        own = {node.parameter_name: _decode(segment)}
        for end, parameters in _ends(node.parameter, rest):
            yield end, own | parameters


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
