"""Waiting for a limited time loses neither results, errors nor cancellations."""

import asyncio
import contextvars

import pytest

from keystead.deadlines import within
from keystead.processes.core.eager import begin

LONG = 60


async def soon(result):
    await asyncio.sleep(0)
    return result


async def for_ever(ended):
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await asyncio.sleep(0)
        ended.append("ended")


def test_what_comes_in_time_is_returned():
    assert asyncio.run(within(LONG, soon("result"))) == "result"


def test_an_error_is_raised():
    async def failing():
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(within(LONG, failing()))


def test_what_takes_too_long_has_ended_when_its_caller_hears_of_it():
    async def main():
        ended = []
        with pytest.raises(TimeoutError):
            await within(0.01, for_ever(ended))
        return ended

    assert asyncio.run(main()) == ["ended"]


def test_what_cannot_be_cancelled_is_returned_late():
    async def stubborn():
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "result"

    assert asyncio.run(within(0.01, stubborn())) == "result"


def test_what_somebody_else_has_cancelled_is_not_late():
    async def main():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await within(LONG, future)

    asyncio.run(main())


@pytest.mark.parametrize("turns", range(6))
def test_a_task_that_is_cancelled_ends_whatever_happens_at_that_moment(turns):
    async def main():
        event = asyncio.Event()

        async def work():
            while True:
                event.clear()
                await within(LONG, event.wait())

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=LONG)
        assert done

    asyncio.run(main())


def test_what_a_cancelled_task_waited_for_has_ended_too():
    async def main():
        ended = []
        task = asyncio.create_task(within(LONG, for_ever(ended)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ended

    assert asyncio.run(main()) == ["ended"]


def test_a_request_that_begins_without_a_task_can_wait():
    async def main():
        heard = []

        async def request():
            heard.append(await within(LONG, soon("result")))

        await begin(request(), contextvars.copy_context())
        return heard

    assert asyncio.run(main()) == ["result"]
