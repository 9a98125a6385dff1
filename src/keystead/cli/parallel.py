"""Many requests at once, with a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from keystead.cli.screen import progress

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(
    what: str, do: Callable[[T], R], items: Sequence[T], *, connections: int
) -> list[R]:
    """Return what `do` returns for each of the items, in their order.

    The first error ends it: what has begun is waited for, nothing more is begun.
    """
    threads = ThreadPoolExecutor(connections)
    results = []
    try:
        with progress(what, len(items)) as advance:
            for result in threads.map(do, items):
                results.append(result)
                advance(1)
    finally:
        threads.shutdown(cancel_futures=True)
    return results
