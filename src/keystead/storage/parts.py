"""Work on many records in parts that the store takes in one commit."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from keystead.errors import CommitTooLarge, WriteRefused

T = TypeVar("T")


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
