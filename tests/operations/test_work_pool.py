import asyncio
import contextlib
import os
import threading
import weakref

import pytest

from keystead.errors import InvalidInput, Overloaded
from keystead.operations import work_pool
from keystead.operations.shares import Party
from keystead.operations.work_pool import SLOW_WORK_NICENESS, URGENT_WORK_NICENESS, WorkPool


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
