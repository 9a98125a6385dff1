"""Optimistic changes: read, decide, compare and set, and repeat after a concurrent change."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from keystead.errors import Conflict, StaleRevision

T = TypeVar("T")

_ATTEMPTS = 10
"""The most attempts. Each failed attempt means that a concurrent change was made instead."""


class Unchanged(Exception):
    """Raised by the edit of an update that finds nothing to change. Nothing is written then."""


async def retry_when_stale(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `attempt`. Repeat it after StaleRevision; raise Conflict in the end."""
    for _ in range(_ATTEMPTS):
        try:
            return await attempt()
        except StaleRevision:
            continue
    raise Conflict("The record is being changed by others. Try again.")
