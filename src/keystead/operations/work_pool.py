"""Slow work off the event loop: a fixed number of low-priority threads behind a bounded queue."""

import asyncio
import contextlib
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, TypeVar

from keystead.errors import Overloaded
from keystead.operations.edge_shares import Places, TurnQueue

Result = TypeVar("Result")

_NICEST: Final = 19
SLOW_WORK_NICENESS: Final = 10
"""So that a full pool of RSA or scrypt leaves the CPU to the event loop when both want it."""

KEPT_FROM_ONE_EDGE: Final = 8
"""One in so many places is for the others."""

MOST_UNDELIVERED: Final = 8
LONGEST_HOLD_SECONDS: Final = 0.008
"""Results that wait for each other while there is more to do, and how long at most. To wake the
event loop and then an edge for each of them costs a third of an RSA-2048 signature."""

NEVER: Final = float("-inf")


class _Job:
    """One piece of work, and the future of whoever waits for it."""

    __slots__ = ("answer", "client", "edge", "error", "result", "work")

    def __init__(
        self,
        work: Callable[[], object],
        answer: "asyncio.Future[Any]",
        client: str | None,
        edge: object,
    ) -> None:
        self.work = work
        self.answer = answer
        self.client = client
        self.edge = edge
        self.result: object = None
        self.error: BaseException | None = None

    def do(self) -> None:
        """Work, in a thread of the pool, unless nobody waits for it any more."""
        if self.answer.cancelled():
            return
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            self.error = error

    def deliver(self) -> None:
        """Wake whoever waits, on the event loop."""
        if self.answer.done():
            return
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class WorkPool:
    """Runs blocking functions that release the GIL; at most `queue_limit` wait for a thread.

    The standard library's executor does the same with a lock, a condition and a system call for
    each piece of work. Here those that end while the event loop is busy share one wake-up: an
    RSA-2048 signature costs about 30 µs less.
    """

    def __init__(
        self,
        *,
        name: str,
        threads: int,
        queue_limit: int,
        share_limit: int | None = None,
        cpus: Sequence[int] = (),
    ) -> None:
        """`share_limit` is how much may be under way for one client; None: all that fits.

        With `cpus`, each thread keeps to one of them. The scheduler sees a thread that waits for
        the GIL leave its CPU, and for such short times moves none of the others there: with
        RSA-2048, a tenth of two CPUs was idle so.
        """
        limit = threads + queue_limit
        self._places = Places(limit, of_one_edge=limit - limit // KEPT_FROM_ONE_EDGE)
        self._share_limit = share_limit or limit
        self._shares = Counter[str]()
        self._waiting = TurnQueue[_Job]()
        self._done = deque[_Job]()
        self._loop_is_told = False
        self._delivered_at = NEVER
        self._soon: asyncio.TimerHandle | None = None
        # Started now: once a process is sandboxed it cannot start threads.
        started = threading.Barrier(threads + 1)
        self._threads = [
            threading.Thread(
                target=self._serve,
                args=(started, {cpus[n % len(cpus)]} if cpus else None),
                name=f"{name}_{n}",
                daemon=True,
            )
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()
        started.wait()

    def require_room(self, client: str | None = None) -> None:
        """Raise Overloaded when `run` would take nothing, or nothing for this client, now."""
        has_all = client is not None and self._shares[client] >= self._share_limit
        if has_all or not self._places.are_free:
            raise Overloaded("Too much slow work is waiting; try again in a moment.")

    async def run(self, work: Callable[[], Result], *, client: str | None = None) -> Result:
        """Return work()'s result from a pool thread; raises Overloaded at once when full.

        `client` is whose share it takes: one that asks for much must not keep the others out.
        Work whose caller is cancelled holds its place until a thread has done or skipped it: who
        asks and goes away again and again cannot fill more than the queue.
        """
        self.require_room(client)
        if client is not None:
            self._shares[client] += 1
        edge = self._places.take()
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Job(work, answer, client, edge))
        return await answer

    def close(self) -> None:
        """Wait for what runs; what has not begun never will."""
        self._waiting.end(len(self._threads))
        for thread in self._threads:
            thread.join()

    def _serve(self, started: threading.Barrier, cpus: set[int] | None) -> None:
        if cpus is not None:
            with contextlib.suppress(OSError):  # Not ours any more: then where it may.
                os.sched_setaffinity(threading.get_native_id(), cpus)
        _lower_priority()
        started.wait()
        while (job := self._waiting.get()) is not None:
            if self._done and self._waiting.is_empty():
                # Now, and not when this is done: those who get their results may have more to do.
                self._tell_loop(job)
            job.do()
            self._done.append(job)
            if self._is_time_to_deliver():
                self._tell_loop(job)
            del job  # It holds a key or a passphrase; none may outlive its use by waiting here.

    def _tell_loop(self, job: _Job) -> None:
        if self._loop_is_told:
            return
        self._loop_is_told = True
        with contextlib.suppress(RuntimeError):  # The loop has ended, and all waiting.
            job.answer.get_loop().call_soon_threadsafe(self._deliver)

    def _is_time_to_deliver(self) -> bool:
        if self._waiting.is_empty() or len(self._done) >= MOST_UNDELIVERED:
            return True
        return perf_counter() - self._delivered_at >= LONGEST_HOLD_SECONDS

    def _deliver(self) -> None:
        # First: what is done from here on is either found below or tells the loop again.
        self._loop_is_told = False
        self._delivered_at = NEVER
        if self._done:
            self._deliver_again_soon()
        while self._done:
            job = self._done.popleft()
            self._places.give_back(job.edge)
            if job.client is not None:
                self._leave_share(job.client)
            job.deliver()

    def _deliver_again_soon(self) -> None:
        """See to it that nothing is held for long: what the threads are at may take its time.

        Only from here on may they hold anything; a timer of this event loop can be early.
        """
        self._delivered_at = perf_counter()
        if self._soon is not None:
            self._soon.cancel()
        loop = asyncio.get_running_loop()
        self._soon = loop.call_later(LONGEST_HOLD_SECONDS, self._deliver)

    def _leave_share(self, client: str) -> None:
        self._shares[client] -= 1
        if not self._shares[client]:
            del self._shares[client]


def _lower_priority() -> None:
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread) + SLOW_WORK_NICENESS
    os.setpriority(os.PRIO_PROCESS, thread, min(niceness, _NICEST))
