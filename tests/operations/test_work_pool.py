import asyncio
import contextlib
import gc
import os
import threading
import time
import weakref
from functools import partial

import pytest

from keystead.errors import InvalidInput, Overloaded
from keystead.operations import work_pool
from keystead.operations.shares import Party
from keystead.operations.work_pool import (
    SLOW_WORK_NICENESS,
    SPARE_NICENESS,
    URGENT_WORK_NICENESS,
    WorkPool,
)


def run(scenario, **options):
    """Run scenario(pool) in an event loop of its own."""
    pool = WorkPool(name="test", **{"threads": 1, "queue_limit": 1} | options)
    try:
        return asyncio.run(scenario(pool))
    finally:
        pool.close()


def test_a_result_and_a_failure_come_back_from_another_thread():
    async def scenario(pool):
        assert await pool.run(threading.get_ident) != threading.get_ident()

        def fail():
            raise InvalidInput("wrong")

        with pytest.raises(InvalidInput, match="wrong"):
            await pool.run(fail)
        assert await pool.run(lambda: 1) == 1

    run(scenario)


def own_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.parametrize(
    ("options", "lower"),
    [({}, SLOW_WORK_NICENESS), ({"niceness": URGENT_WORK_NICENESS}, 0)],
)
def test_its_threads_yield_to_the_event_loop_unless_their_work_is_urgent(options, lower):
    async def scenario(pool):
        return await pool.run(own_niceness)

    assert run(scenario, **options) == min(own_niceness() + lower, 19)


def test_each_thread_keeps_to_its_cpu():
    mine = sorted(os.sched_getaffinity(0))

    async def scenario(pool):
        gate = threading.Barrier(len(mine))

        def where() -> set[int]:
            gate.wait(5)
            return os.sched_getaffinity(threading.get_native_id())

        return await asyncio.gather(*(pool.run(where) for _ in mine))

    found = run(scenario, threads=len(mine), queue_limit=len(mine), cpus=mine)
    assert sorted(found, key=min) == [{cpu} for cpu in mine]
    assert os.sched_getaffinity(0) == set(mine)


def test_a_cpu_that_is_gone_is_done_without():
    async def scenario(pool):
        return await pool.run(lambda: os.sched_getaffinity(threading.get_native_id()))

    assert run(scenario, cpus=[100_000]) == os.sched_getaffinity(0)


def test_results_do_not_wait_for_the_last_work_there_is(monkeypatch):
    monkeypatch.setattr(work_pool, "LONGEST_HOLD_SECONDS", 60)

    async def scenario(pool):
        delivered, gate = threading.Event(), threading.Event()
        first = asyncio.create_task(pool.run(lambda: 1))
        second = asyncio.create_task(pool.run(delivered.wait))
        last = asyncio.create_task(pool.run(gate.wait))
        await first
        delivered.set()
        try:
            assert await asyncio.wait_for(second, 5)
        finally:
            gate.set()
        await last

    run(scenario, queue_limit=4)


def test_results_of_one_namespace_do_not_wait_for_the_work_of_another(monkeypatch):
    monkeypatch.setattr(work_pool, "LONGEST_HOLD_SECONDS", 60)
    begin, go_on, end = threading.Event(), threading.Event(), threading.Event()

    async def scenario(pool):
        flood = [
            asyncio.create_task(pool.run(work, party=Party("flood")))
            for work in (lambda: begin.wait(10), bool, lambda: end.wait(10), bool)
        ]
        other = asyncio.create_task(pool.run(lambda: go_on.wait(10), party=Party("other")))
        await asyncio.sleep(0)
        begin.set()
        await flood[0]
        go_on.set()
        try:
            assert await asyncio.wait_for(other, 5)
        finally:
            end.set()
        await asyncio.gather(*flood)

    run(scenario, queue_limit=8)


def test_all_threads_run_before_there_is_work():
    before = threading.active_count()
    pool = WorkPool(name="test", threads=3, queue_limit=0)
    try:
        assert threading.active_count() == before + 3
    finally:
        pool.close()


def test_what_does_not_fit_is_refused_at_once_and_fits_again_later():
    async def scenario(pool):
        gate = threading.Event()
        held = [asyncio.create_task(pool.run(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await pool.run(lambda: None)
        gate.set()
        assert await asyncio.gather(*held) == [True] * 3
        assert await pool.run(lambda: 1) == 1

    run(scenario, threads=1, queue_limit=2)


def test_when_it_is_full_a_newcomer_takes_the_place_of_whoever_has_most():
    async def scenario(pool):
        gate = threading.Event()
        held = [asyncio.create_task(pool.run(gate.wait, party=Party("a"))) for _ in range(5)]
        await asyncio.sleep(0)
        pool.require_room(Party("b"))
        with pytest.raises(Overloaded):
            pool.require_room(Party("a"))
        with pytest.raises(Overloaded):
            await pool.run(lambda: None, party=Party("a"))
        newcomer = asyncio.create_task(pool.run(lambda: "done", party=Party("b")))
        await asyncio.sleep(0)
        gate.set()
        assert await newcomer == "done"
        *served, refused = await asyncio.gather(*held, return_exceptions=True)
        assert served == [True] * 4
        assert isinstance(refused, Overloaded)
        assert await pool.run(lambda: 1, party=Party("a")) == 1

    run(scenario, threads=1, queue_limit=4)


def test_work_whose_caller_went_away_counts_until_it_is_done():
    async def scenario(pool):
        begun, gate = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            gate.wait()

        left = asyncio.create_task(pool.run(work))
        await asyncio.sleep(0)
        begun.wait()
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        try:
            with pytest.raises(Overloaded):
                await pool.run(lambda: None)
        finally:
            gate.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    return await pool.run(lambda: 1)
                except Overloaded:
                    await asyncio.sleep(0.001)

    assert run(scenario, threads=1, queue_limit=0) == 1


def test_a_failure_that_nobody_waits_for_any_more_is_no_complaint(caplog):
    async def scenario(pool):
        gate = threading.Event()

        def fail():
            gate.wait()
            raise InvalidInput("too late")

        left = asyncio.create_task(pool.run(fail))
        await asyncio.sleep(0)
        left.cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await left
        await pool.run(lambda: None)

    run(scenario)
    assert caplog.records == []


def test_work_that_nobody_waits_for_any_more_is_skipped():
    async def scenario(pool):
        gate = threading.Event()
        done = []
        running = asyncio.create_task(pool.run(gate.wait))
        queued = asyncio.create_task(pool.run(lambda: done.append("queued")))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await running
        with pytest.raises(asyncio.CancelledError):
            await queued
        while not done:
            with contextlib.suppress(Overloaded):
                await pool.run(lambda: done.append("after"))
        assert done == ["after"]

    run(scenario)


def test_an_idle_thread_holds_nothing_of_its_last_work():
    class Key:
        def use(self):
            return Key()

    async def scenario(pool):
        key = Key()
        result = await pool.run(key.use)
        remains = [weakref.ref(key), weakref.ref(result)]
        del key, result
        for _ in range(1000):
            if not any(one() for one in remains):
                return
            await asyncio.sleep(0.001)
        pytest.fail("the thread still holds it")

    run(scenario)


def test_results_that_wait_for_each_other_come_when_there_is_no_more_to_do():
    async def scenario(pool):
        async with asyncio.timeout(5):
            assert await asyncio.gather(*(pool.run(lambda n=n: n) for n in range(99))) == [
                *range(99)
            ]

    run(scenario, queue_limit=100)


@pytest.mark.parametrize("part_of_the_time", [1, 0.1])
def test_a_result_does_not_wait_for_work_that_takes_long(part_of_the_time):
    """Not even where timers are early, as those of a busy uvloop."""

    async def scenario(pool):
        loop = asyncio.get_running_loop()
        call_later = loop.call_later
        loop.call_later = lambda delay, *act: call_later(part_of_the_time * delay, *act)
        second, gate = threading.Event(), threading.Event()
        first_two = [asyncio.create_task(pool.run(work)) for work in (lambda: 1, second.wait)]
        await asyncio.sleep(0)
        long = [asyncio.create_task(pool.run(gate.wait)) for _ in range(4)]
        try:
            await first_two[0]
            if part_of_the_time < 1:
                await asyncio.sleep(0.001)
            # Now: so soon after a delivery, and with more to do, the thread holds it back.
            second.set()
            assert await asyncio.wait_for(first_two[1], 50)
        finally:
            second.set()
            gate.set()
            await asyncio.gather(*long)

    run(scenario, threads=2, queue_limit=4)


def flood_of(pool, gate, party, count=4):
    """Fill the pool with work of one party, which goes on until the gate opens."""
    return [
        asyncio.create_task(pool.run(partial(gate.wait, 60), party=party)) for _ in range(count)
    ]


def test_a_tenant_waits_for_no_work_of_another_that_has_begun():
    async def scenario(pool):
        gate = threading.Event()
        flood = flood_of(pool, gate, Party("flood"))
        await asyncio.sleep(0)
        try:
            for _ in range(3):
                assert await asyncio.wait_for(pool.run(lambda: 1, party=Party("quiet")), 60) == 1
        finally:
            gate.set()
        assert await asyncio.gather(*flood) == [True] * 4

    run(scenario, queue_limit=4, spares=1)


def test_a_tenant_that_has_work_gets_no_spare_thread():
    async def scenario(pool):
        gate = threading.Event()
        flood = flood_of(pool, gate, Party("flood", "user"))
        other_user = asyncio.create_task(
            pool.run(threading.current_thread, party=Party("flood", "other"))
        )
        await asyncio.sleep(0)
        quiet = await asyncio.wait_for(pool.run(threading.current_thread, party=Party("quiet")), 60)
        assert not other_user.done()
        gate.set()
        await asyncio.gather(*flood)
        assert await other_user != quiet

    run(scenario, queue_limit=8, spares=1)


def test_a_tenant_that_has_the_spare_thread_waits_for_its_turn_with_the_rest():
    async def scenario(pool):
        gate, spare_gate = threading.Event(), threading.Event()
        flood = flood_of(pool, gate, Party("flood"))
        await asyncio.sleep(0)
        first = asyncio.create_task(pool.run(partial(spare_gate.wait, 60), party=Party("quiet")))
        await asyncio.sleep(0)
        second = asyncio.create_task(pool.run(lambda: 2, party=Party("quiet")))
        third = asyncio.create_task(pool.run(lambda: 3, party=Party("third")))
        await asyncio.sleep(0)
        assert pool.under_way == len(flood) + 3
        spare_gate.set()
        assert await asyncio.wait_for(first, 60)
        assert not second.done()
        assert not third.done()
        gate.set()
        assert await asyncio.gather(second, third, *flood) == [2, 3, *[True] * len(flood)]

    run(scenario, queue_limit=8, spares=1)


def test_the_spare_thread_stays_idle_while_another_thread_is_free():
    async def scenario(pool):
        gate = threading.Event()
        began = asyncio.create_task(pool.run(partial(gate.wait, 60), party=Party("a")))
        name = await pool.run(lambda: threading.current_thread().name, party=Party("b"))
        gate.set()
        await began
        return name

    assert run(scenario, threads=2, spares=1) in {"test_0", "test_1"}


def test_a_full_pool_has_room_for_a_tenant_without_work_and_removes_nothing_for_it():
    async def scenario(pool):
        gate = threading.Event()
        flood = flood_of(pool, gate, Party("flood"))
        await asyncio.sleep(0)
        pool.require_room(Party("quiet"))
        assert await asyncio.wait_for(pool.run(lambda: 1, party=Party("quiet")), 60) == 1
        gate.set()
        assert await asyncio.gather(*flood) == [True] * 4

    run(scenario, threads=1, queue_limit=3, spares=1)


def test_the_spare_thread_is_less_nice_than_the_others_and_nicer_than_the_event_loop():
    async def scenario(pool):
        gate = threading.Event()
        flood = flood_of(pool, gate, Party("flood"))
        await asyncio.sleep(0)
        niceness = await asyncio.wait_for(pool.run(own_niceness, party=Party("quiet")), 60)
        gate.set()
        await asyncio.gather(*flood)
        return niceness

    assert run(scenario, queue_limit=4, spares=1) == min(own_niceness() + SPARE_NICENESS, 19)


def test_a_tenant_whose_work_was_replaced_is_not_counted_as_busy():
    async def scenario(pool):
        gate = threading.Event()
        flood = flood_of(pool, gate, Party("flood"))
        await asyncio.sleep(0)
        pushed = [flood[-1]]
        spare_gate = threading.Event()
        on_spare = asyncio.create_task(pool.run(partial(spare_gate.wait, 60), party=Party("quiet")))
        await asyncio.sleep(0)
        replacing = asyncio.create_task(pool.run(lambda: 1, party=Party("third")))
        with pytest.raises(Overloaded):
            await pushed[0]
        gate.set()
        spare_gate.set()
        await asyncio.gather(*flood[:-1], on_spare, replacing)
        assert pool.under_way == 0
        begin = threading.Event()
        held = asyncio.create_task(pool.run(partial(begin.wait, 60), party=Party("quiet")))
        await asyncio.sleep(0)
        # No work of "flood" is left: it may have the spare thread.
        name = await asyncio.wait_for(
            pool.run(lambda: threading.current_thread().name, party=Party("flood")), 60
        )
        begin.set()
        await held
        return name

    assert run(scenario, threads=1, queue_limit=3, spares=1) == "test_spare_0"


# --- the last thread rests -----------------------------------------------------------------------

MANY = 20
BUSY, QUIET = Party("busy"), Party("quiet")


def who() -> str:
    return threading.current_thread().name


def run_on_two(scenario):
    run(scenario, threads=2, queue_limit=2 * MANY, spares=1, cpus=[0, 0])


def test_beside_another_tenant_a_flood_leaves_the_last_thread_idle(monkeypatch):
    monkeypatch.setattr(work_pool, "REST_SECONDS", 60)

    async def scenario(pool):
        await pool.run(who, party=QUIET)
        names = await asyncio.gather(*(pool.run(who, party=BUSY) for _ in range(MANY)))
        # It may have waited for work already, and then takes the first there is.
        assert names.count("test_1") <= 1
        assert names.count("test_0") >= MANY - 1

    run_on_two(scenario)


def test_a_tenant_uses_all_threads_again_when_the_other_has_been_quiet(monkeypatch):
    monkeypatch.setattr(work_pool, "REST_SECONDS", 0.02)

    async def scenario(pool):
        both = threading.Barrier(2)
        await pool.run(who, party=QUIET)
        await asyncio.gather(*(pool.run(partial(both.wait, 20), party=BUSY) for _ in range(2)))

    run_on_two(scenario)


def test_work_of_two_tenants_ends_the_rest(monkeypatch):
    monkeypatch.setattr(work_pool, "REST_SECONDS", 60)

    async def scenario(pool):
        begun, gate = threading.Event(), threading.Event()

        def long_work() -> str:
            begun.set()
            gate.wait(20)
            return who()

        await pool.run(who, party=QUIET)
        while not pool._is_resting:  # noqa: SLF001
            await pool.run(who, party=BUSY)
        busy = asyncio.create_task(pool.run(long_work, party=BUSY))
        await asyncio.to_thread(begun.wait, 20)
        assert await pool.run(who, party=QUIET) == "test_1"
        gate.set()
        assert await busy == "test_0"

    run_on_two(scenario)


def test_a_pool_with_a_thread_at_rest_is_closed_at_once(monkeypatch):
    monkeypatch.setattr(work_pool, "REST_SECONDS", 60)

    async def scenario(pool):
        await pool.run(who, party=QUIET)
        await asyncio.gather(*(pool.run(who, party=BUSY) for _ in range(MANY)))

    began = time.monotonic()
    run_on_two(scenario)
    assert time.monotonic() - began < 30


class Message:
    """What work has; a weak reference tells when it is gone."""

    def fails(self):
        raise InvalidInput("wrong")


def test_work_that_has_failed_keeps_nothing_until_the_garbage_collector_comes_by():
    """A message of 45 MiB with a wrong length stayed, one for each thread, and so did its key."""

    async def scenario(pool):
        message = Message()
        gone = weakref.ref(message)
        with pytest.raises(InvalidInput):
            await pool.run(message.fails)
        del message
        for _ in range(100):  # The thread lets go of its job in its own time.
            if gone() is None:
                break
            await asyncio.sleep(0.01)
        assert gone() is None

    gc.disable()
    try:
        run(scenario)
    finally:
        gc.enable()
