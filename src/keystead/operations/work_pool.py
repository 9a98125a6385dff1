"""Slow work off the event loop: a fixed number of low-priority threads behind a bounded queue."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from keystead.errors import Overloaded

Result = TypeVar("Result")

_NICEST: Final = 19
SLOW_WORK_NICENESS: Final = 10
"""So that a full pool of RSA or scrypt leaves the CPU to the event loop when both want it."""


class WorkPool:
    """Runs blocking functions that release the GIL; at most `queue_limit` wait for a thread."""

    def __init__(self, *, name: str, threads: int, queue_limit: int) -> None:
        self._limit = threads + queue_limit
        self._under_way = 0
        self._executor = ThreadPoolExecutor(threads, name, initializer=_lower_priority)
        # Started now: once a process is sandboxed it cannot start threads.
        barrier = threading.Barrier(threads + 1)
        for _ in range(threads):
            self._executor.submit(barrier.wait)
        barrier.wait()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return work()'s result from a pool thread; raises Overloaded at once when full.

        Work whose caller is cancelled holds its place until a thread has done or skipped it: who
        asks and goes away again and again cannot fill more than the queue.
        """
        if self._under_way >= self._limit:
            raise Overloaded("Too much slow work is waiting; try again in a moment.")
        self._under_way += 1
        is_wanted = True

        def work_if_wanted() -> Result:
            if not is_wanted:
                raise Overloaded("Nobody waits for this any more.")
            return work()

        future = asyncio.get_running_loop().run_in_executor(self._executor, work_if_wanted)
        future.add_done_callback(self._one_done)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            is_wanted = False
            raise

    def _one_done(self, future: "asyncio.Future[Result]") -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()

    def close(self) -> None:
        """Wait for what runs; what has not begun is cancelled."""
        self._executor.shutdown(cancel_futures=True)


def _lower_priority() -> None:
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread) + SLOW_WORK_NICENESS
    os.setpriority(os.PRIO_PROCESS, thread, min(niceness, _NICEST))
