"""Media types that a client sends and accepts (RFC 9110, sections 8.3 and 12.5.1)."""

import re
from functools import lru_cache

_MOST_RANGES = 32
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
"""RFC 9110, section 5.6.2."""


def media_type(content_type: str) -> str:
    """Return the bare lower-case media type of a Content-Type header."""
    return content_type.partition(";")[0].strip().lower()


def is_media_type(content_type: str) -> bool:
    """Return whether a Content-Type header names a type and a subtype."""
    main, _, sub = media_type(content_type).partition("/")
    return bool(_TOKEN.fullmatch(main) and _TOKEN.fullmatch(sub))


@lru_cache(maxsize=256)
def choose(accept: str, offered: tuple[str, ...]) -> str | None:
    """Return the media type of `offered` that an Accept header prefers, or None if there is none.

    The most specific range decides on each; the earlier one is chosen among equals.
    """
    qualities = [_quality_of(accept, one) for one in offered]
    best = max(qualities)
    return offered[qualities.index(best)] if best > 0 else None


def _quality_of(accept: str, produced: str) -> float:
    wanted_type = produced.partition("/")[0]
    best_precision, best_quality = -1, 0.0
    for media_range in accept.split(",")[:_MOST_RANGES]:
        name, *parameters = (part.strip().lower() for part in media_range.split(";"))
        precision = _precision(name, produced, wanted_type)
        if precision > best_precision:
            best_precision, best_quality = precision, _quality(parameters)
    return best_quality


def _precision(name: str, produced: str, wanted_type: str) -> int:
    if name == produced:
        return 2
    if name == f"{wanted_type}/*":
        return 1
    return 0 if name in {"*/*", "*"} else -1


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
