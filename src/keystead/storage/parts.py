"""Work on many records in parts that the store takes in one commit."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Final, TypeVar

from keystead.errors import CommitTooLarge, WriteRefused

T = TypeVar("T")

_GROUPED_AT_A_TIME: Final = 256
"""Items that are grouped before others have their turn: about a millisecond."""


async def in_parts(
    items: Sequence[T],
    at_once: int,
    commit: Callable[[Sequence[T]], Awaitable[object]],
    *,
    is_halved: type[WriteRefused] = CommitTooLarge,
) -> int:
    """Call `commit` with at most `at_once` of the items, until all have had their turn.

    If it raises `is_halved`, half as many are tried, and at last a single one, whose error is
    raised. Return how many were taken at once in the end.
    """
    done = 0
    while some := items[done : done + at_once]:
        try:
            _ = await commit(some)
        except is_halved:
            if len(some) == 1:
                raise
            at_once = len(some) // 2
        else:
            done += len(some)
    return at_once


async def grouped(items: Iterable[T], group_of: Callable[[T], Hashable]) -> Sequence[T]:
    """Return the same items, those of a group next to each other."""
    groups: defaultdict[Hashable, list[T]] = defaultdict(list)
    for number, item in enumerate(items, 1):
        groups[group_of(item)].append(item)
        if number % _GROUPED_AT_A_TIME == 0:
            await asyncio.sleep(0)
    return [item for group in groups.values() for item in group]
