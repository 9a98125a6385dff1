"""Optimistic changes: read, decide, compare and set, and repeat after a concurrent change."""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import SystemRandom
from typing import Final, TypeVar

from keystead.errors import Conflict, StaleRevision

T = TypeVar("T")

_ATTEMPTS: Final = 30
"""The most attempts. Each failed attempt means that a concurrent change was made instead."""
_AT_ONCE: Final = 3
"""Attempts without a pause. More are needed only where other members of a cluster compete."""
_MOST_PAUSE_SECONDS: Final = 0.1
_FIRST_PAUSE_SECONDS: Final = 0.002
_random: Final = SystemRandom()


class Unchanged(Exception):
    """Raised by the edit of an update that finds nothing to change. Nothing is written then."""


def or_unchanged(edit: Callable[[T], T]) -> Callable[[T], T]:
    """Return `edit`, which raises Unchanged for a record that would stay as it is."""

    def edited(record: T) -> T:
        after = edit(record)
        if after == record:
            raise Unchanged
        return after

    return edited


async def retry_when_stale(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `attempt`. Repeat it after StaleRevision; raise Conflict in the end.

    The pauses are random, so that members of a cluster do not meet again and again.
    """
    for number in range(_ATTEMPTS):
        if number >= _AT_ONCE:
            longest = _FIRST_PAUSE_SECONDS * 2 ** (number - _AT_ONCE)
            await asyncio.sleep(_random.uniform(0, min(longest, _MOST_PAUSE_SECONDS)))
        try:
            return await attempt()
        except StaleRevision:
            continue
    raise Conflict("The record is being changed by others. Try again.")
