"""Slow work off the event loop: a fixed number of low-priority threads behind a bounded queue."""

import asyncio
import contextlib
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Final, TypeVar

from keystead.errors import Overloaded
from keystead.operations.shares import EDGE, HSM, Party, TurnQueue

Result = TypeVar("Result")

_NICEST: Final = 19
SLOW_WORK_NICENESS: Final = 10
"""The niceness of pool threads: under load, the event loop gets the CPU before RSA and scrypt."""
URGENT_WORK_NICENESS: Final = 0
"""The niceness of threads for work that must be done soon while edges use all CPUs."""
SPARE_NICENESS: Final = 5
"""The niceness of spare threads: the kernel gives them three times the CPU of the other threads of
a pool, so that one tenant's work is hardly slowed down by another's that has begun before."""

MOST_UNDELIVERED: Final = 8
"""Results are delivered together, up to this many, while more work of the same namespace waits for
a thread. To wake the event loop and an edge for each result would cost a third of an RSA-2048
signature."""
LONGEST_HOLD_SECONDS: Final = 0.008
"""The longest time that a result waits for others to be delivered with."""

REST_SECONDS: Final = 1.0
"""How long the last thread rests after two tenants have asked by turns."""

NEVER: Final = float("-inf")


class _Job:
    """One piece of work, and the future that its caller waits for."""

    __slots__ = ("answer", "error", "group", "is_on_spare", "result", "tenant", "work")

    def __init__(
        self, work: Callable[[], object], answer: "asyncio.Future[Any]", party: Party
    ) -> None:
        self.work = work
        self.answer = answer
        self.group = (EDGE.get(), party.group)
        self.tenant = party.group
        self.is_on_spare = False
        """Whether a spare thread does it."""
        self.result: object = None
        self.error: BaseException | None = None

    def do(self) -> None:
        """Do the work, in a thread of the pool, unless its caller was cancelled."""
        if self.answer.cancelled():
            return
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            self.error = error
        finally:
            # The error's traceback has this frame. If that had the job, they would keep each other,
            # and the work with its key and message, until the garbage collector comes by.
            del self

    def refuse(self) -> None:
        """Raise Overloaded in the caller: another party got the place in the queue."""
        self.error = Overloaded("Too much slow work is waiting; try again in a moment.")
        self.deliver()

    def deliver(self) -> None:
        """Wake the caller. Runs on the event loop."""
        if self.answer.done():
            return
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class WorkPool:
    """Runs blocking functions that release the GIL; at most `queue_limit` wait for a thread.

    The rule of `shares` decides the order of work, and what is refused when the pool is full.

    Spare threads are for tenants (namespaces, and networks that log in) that have no other work
    here while all other threads are busy. So a tenant does not wait for work of another tenant
    that has begun, and a tenant that is alone uses every other thread.

    Where each thread keeps to a CPU, the last one rests while two tenants ask by turns and no work
    waits but that of one of them. One tenant's flood then leaves a CPU to the event loop, the edges
    and the spare thread. Behind a busy thread, they sometimes wait for the kernel's next tick.

    The standard library's executor does the same with a lock, a condition and a system call for
    each piece of work. Here, all work that ends while the event loop is busy shares one wake-up,
    which makes an RSA-2048 signature about 30 µs cheaper. ADR 27 gives all reasons, and says when
    this class can be removed.
    """

    def __init__(
        self,
        *,
        name: str,
        threads: int,
        queue_limit: int,
        spares: int = 0,
        cpus: Sequence[int] = (),
        niceness: int = SLOW_WORK_NICENESS,
    ) -> None:
        """Threads run with `niceness`. With `cpus`, each of them keeps to one CPU.

        A thread that waits for the GIL leaves its CPU, and the scheduler moves no other thread
        there for the short time. With RSA-2048, this left a tenth of two CPUs idle. Spare threads
        run with SPARE_NICENESS on any CPU.
        """
        self.threads: Final = threads
        self._limit = threads + queue_limit
        self._niceness = niceness
        self._under_way = 0
        """How much work waits, is being done, or is done and not delivered yet."""
        self._of_tenant: defaultdict[Hashable, int] = defaultdict(int)
        """The same by tenant, without the work of spare threads. A tenant without any is not in
        it."""
        self._free_spares = spares
        self._on_spares = set[Hashable]()
        """The tenants whose work spare threads do."""
        self._last_tenant: Hashable = HSM.group
        self._rests_until = NEVER
        self._is_resting = False
        self._wake = threading.Event()
        """Set to end the rest of the last thread."""
        self._is_closing = False
        self._for_spares = SimpleQueue[_Job | None]()
        """One job for each spare thread that is taken, and None for each that has to end."""
        self._waiting = TurnQueue[_Job]()
        self._done = deque[_Job]()
        self._loop_is_told = False
        self._delivered_at = NEVER
        self._soon: asyncio.TimerHandle | None = None
        # Started now: once a process is sandboxed it cannot start threads.
        started = threading.Barrier(threads + spares + 1)
        self._threads = [
            threading.Thread(
                target=self._serve,
                args=(started, {cpus[n % len(cpus)]} if cpus else None),
                kwargs={"rests": bool(spares and cpus) and 0 < n == threads - 1},
                name=f"{name}_{n}",
                daemon=True,
            )
            for n in range(threads)
        ]
        self._spares = [
            threading.Thread(
                target=self._serve_on_spare, args=(started,), name=f"{name}_spare_{n}", daemon=True
            )
            for n in range(spares)
        ]
        for thread in (*self._threads, *self._spares):
            thread.start()
        started.wait()

    @property
    def under_way(self) -> int:
        """How much work waits for a thread, or is being done."""
        return self._under_way

    def require_room(self, party: Party) -> None:
        """Raise Overloaded if `run` would raise it for this party now."""
        if self._under_way >= self._limit and not self._spare_may_take(party):
            self._waiting.require_room(party)

    async def run(self, work: Callable[[], Result], *, party: Party = HSM) -> Result:
        """Return the result of `work`, which runs in a thread of the pool.

        Raises Overloaded if the pool is full and `party` has most of the waiting work. It is raised
        at once, or later when another party gets the place. Work of a cancelled caller keeps its
        place until a thread skips it, so that a client that connects and disconnects again and
        again cannot fill more than the queue.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._put(_Job(work, answer, party), party)
        try:
            return await answer
        finally:
            del answer  # It has the error, whose traceback has this frame, as in `_Job.do`.

    def _put(self, job: _Job, party: Party) -> None:
        if self._spare_may_take(party):
            job.is_on_spare = True
            self._free_spares -= 1
            self._on_spares.add(job.tenant)
            self._for_spares.put(job)
        elif self._under_way < self._limit:
            self._waiting.put(job, party)
        else:
            removed = self._waiting.put_instead(job, party)
            self._forget(removed)
            removed.refuse()
        self._under_way += 1
        if not job.is_on_spare:
            self._of_tenant[job.tenant] += 1
        if job.tenant != self._last_tenant:
            self._last_tenant = job.tenant
            self._rests_until = perf_counter() + REST_SECONDS
        if self._is_resting and len(self._of_tenant) > 1:
            self._wake.set()

    def _spare_may_take(self, party: Party) -> bool:
        """Whether a spare thread is free for a party whose work would wait for a thread."""
        if not self._free_spares or self._under_way < self.threads:
            return False
        group = party.group
        return party.gets_spare and group not in self._of_tenant and group not in self._on_spares

    def _forget(self, job: _Job) -> None:
        """Do not count this job any more."""
        self._under_way -= 1
        if job.is_on_spare:
            self._free_spares += 1
            self._on_spares.remove(job.tenant)
            return
        self._of_tenant[job.tenant] -= 1
        if not self._of_tenant[job.tenant]:
            del self._of_tenant[job.tenant]

    def close(self) -> None:
        """Wait for running work. Work that has not begun is dropped."""
        self._is_closing = True
        self._wake.set()
        self._waiting.end(len(self._threads))
        for _ in self._spares:
            self._for_spares.put(None)
        for thread in (*self._threads, *self._spares):
            thread.join()

    def _serve(self, started: threading.Barrier, cpus: set[int] | None, *, rests: bool) -> None:
        if cpus is not None:
            with contextlib.suppress(
                OSError
            ):  # If the CPU is no longer available, the thread runs anywhere.
                os.sched_setaffinity(threading.get_native_id(), cpus)
        _lower_priority(self._niceness)
        started.wait()
        while (job := self._next(rests=rests)) is not None:
            if self._done and self._waiting.is_empty():
                # Deliver now, not after this job: the callers of the results may have more work.
                self._tell_loop(job)
            job.do()
            self._done.append(job)
            if self._is_time_to_deliver(job):
                self._tell_loop(job)
            del job  # A job holds a key or a passphrase, which must not stay here.

    def _rest(self) -> None:
        """Take no work while two tenants ask by turns, unless work of both waits."""
        while (seconds := self._rests_until - perf_counter()) > 0:
            self._is_resting = True
            self._wake.clear()
            if len(self._of_tenant) > 1 or self._is_closing:
                break
            self._wake.wait(seconds)
        self._is_resting = False

    def _next(self, *, rests: bool) -> _Job | None:
        """Wait for the next work of a thread, or return None at the end."""
        if rests:
            self._rest()
        return self._waiting.get()

    def _serve_on_spare(self, started: threading.Barrier) -> None:
        _lower_priority(SPARE_NICENESS)
        started.wait()
        while (job := self._for_spares.get()) is not None:
            job.do()
            self._done.append(job)
            self._tell_loop(job)
            del job

    def _tell_loop(self, job: _Job) -> None:
        if self._loop_is_told:
            return
        self._loop_is_told = True
        with contextlib.suppress(RuntimeError):  # The loop has ended, and its callers with it.
            job.answer.get_loop().call_soon_threadsafe(self._deliver)

    def _is_time_to_deliver(self, job: _Job) -> bool:
        if len(self._done) >= MOST_UNDELIVERED or not self._waiting.has_any_of(job.group):
            return True
        return perf_counter() - self._delivered_at >= LONGEST_HOLD_SECONDS

    def _deliver(self) -> None:
        # Reset first: work that ends from here on is found below, or wakes the loop again.
        self._loop_is_told = False
        self._delivered_at = NEVER
        if self._done:
            self._deliver_again_soon()
        while self._done:
            job = self._done.popleft()
            self._forget(job)
            job.deliver()

    def _deliver_again_soon(self) -> None:
        """Limit how long results are held, because the next work may take long.

        Threads hold results only after this. The timer of the event loop can fire early.
        """
        self._delivered_at = perf_counter()
        if self._soon is not None:
            self._soon.cancel()
        loop = asyncio.get_running_loop()
        self._soon = loop.call_later(LONGEST_HOLD_SECONDS, self._deliver)


def _lower_priority(niceness: int) -> None:
    """Lower the priority of this thread, starting from that of the process."""
    thread = threading.get_native_id()
    wanted = os.getpriority(os.PRIO_PROCESS, thread) + niceness
    os.setpriority(os.PRIO_PROCESS, thread, min(wanted, _NICEST))
