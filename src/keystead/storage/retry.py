"""Optimistic changes: read, decide, compare and set, and again when someone was faster."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from keystead.errors import Conflict, StaleRevision

T = TypeVar("T")

_ATTEMPTS = 10
"""Each lost attempt means that another one won; ten in a row means a hot spot, not bad luck."""


async def retry_when_stale(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return what `attempt` returns; run it again while it raises StaleRevision, then Conflict."""
    for _ in range(_ATTEMPTS):
        try:
            return await attempt()
        except StaleRevision:
            continue
    raise Conflict("The record is being changed by others. Try again.")
