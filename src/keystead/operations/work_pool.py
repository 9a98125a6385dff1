"""Slow work off the event loop: a fixed number of low-priority threads behind a bounded queue."""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, TypeVar

from keystead.errors import Overloaded
from keystead.operations.shares import HSM, Party, TurnQueue

Result = TypeVar("Result")

_NICEST: Final = 19
SLOW_WORK_NICENESS: Final = 10
"""So that a full pool of RSA or scrypt leaves the CPU to the event loop when both want it."""

MOST_UNDELIVERED: Final = 8
LONGEST_HOLD_SECONDS: Final = 0.008
"""Results that wait for each other while more of the same namespace waits for a thread, so that
nobody's wait for what others have to do; and how long at most. To wake the
event loop and then an edge for each of them costs a third of an RSA-2048 signature."""

NEVER: Final = float("-inf")


class _Job:
    """One piece of work, and the future of whoever waits for it."""

    __slots__ = ("answer", "error", "group", "result", "work")

    def __init__(
        self, work: Callable[[], object], answer: "asyncio.Future[Any]", party: Party
    ) -> None:
        self.work = work
        self.answer = answer
        self.group = party.names()[:-1]
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

    def refuse(self) -> None:
        """Tell whoever waits that it will not be done: another party needs the place."""
        self.error = Overloaded("Too much slow work is waiting; try again in a moment.")
        self.deliver()

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

    Whose turn it is, and who is refused when it is full, is the rule of `shares`.

    The standard library's executor does the same with a lock, a condition and a system call for
    each piece of work. Here those that end while the event loop is busy share one wake-up: an
    RSA-2048 signature costs about 30 µs less. ADR 27 has all reasons, and when this class can go.
    """

    def __init__(
        self,
        *,
        name: str,
        threads: int,
        queue_limit: int,
        cpus: Sequence[int] = (),
    ) -> None:
        """With `cpus`, each thread keeps to one of them.

        The scheduler sees a thread that waits for the GIL leave its CPU, and for such short times
        moves none of the others there: with RSA-2048, a tenth of two CPUs was idle so.
        """
        self._limit = threads + queue_limit
        self._under_way = 0
        """What waits, is being done, or is done and not delivered yet."""
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

    def require_room(self, party: Party) -> None:
        """Raise Overloaded when `run` would take nothing of this party now."""
        if self._under_way >= self._limit:
            self._waiting.require_room(party)

    async def run(self, work: Callable[[], Result], *, party: Party = HSM) -> Result:
        """Return work()'s result from a pool thread.

        Raises Overloaded when the pool is full and `party` has most of what waits: at once, or
        later when another party needs the place. Work whose caller is cancelled holds its place
        until a thread has done or skipped it: who asks and goes away again and again cannot fill
        more than the queue.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = _Job(work, answer, party)
        if self._under_way < self._limit:
            self._under_way += 1
            self._waiting.put(job, party)
        else:
            self._waiting.put_instead(job, party).refuse()
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
            if self._is_time_to_deliver(job):
                self._tell_loop(job)
            del job  # It holds a key or a passphrase; none may outlive its use by waiting here.

    def _tell_loop(self, job: _Job) -> None:
        if self._loop_is_told:
            return
        self._loop_is_told = True
        with contextlib.suppress(RuntimeError):  # The loop has ended, and all waiting.
            job.answer.get_loop().call_soon_threadsafe(self._deliver)

    def _is_time_to_deliver(self, job: _Job) -> bool:
        if len(self._done) >= MOST_UNDELIVERED or not self._waiting.has_any_of(job.group):
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
            self._under_way -= 1
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


def _lower_priority() -> None:
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread) + SLOW_WORK_NICENESS
    os.setpriority(os.PRIO_PROCESS, thread, min(niceness, _NICEST))
