"""Coroutines that begin at once behave as tasks do, from their first wait on."""

import asyncio
import gc
import weakref
from contextvars import ContextVar, copy_context

import pytest

from keystead.processes.core.eager import begin

NUMBER = ContextVar[int]("number", default=0)


def test_what_never_waits_is_done_at_once():
    async def scenario():
        done = []

        async def work():
            done.append(1)

        assert begin(work(), copy_context()) is None
        assert done == [1]

    asyncio.run(scenario())


def test_what_waits_goes_on_as_a_task_with_results_and_failures_of_what_it_waits_for():
    async def scenario():
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(3)]
        seen = []

        async def work():
            for future in futures:
                try:
                    seen.append(await future)
                except ValueError as error:
                    seen.append(str(error))

        task = begin(work(), copy_context())
        assert seen == []
        futures[0].set_result("first")
        futures[1].set_exception(ValueError("second"))
        futures[2].set_result("third")
        await task
        assert seen == ["first", "second", "third"]

    asyncio.run(scenario())


def test_its_task_can_be_cancelled_and_may_wait_again_before_it_ends():
    async def scenario():
        seen = []

        async def work():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                seen.append("cleaned up")
                raise

        task = begin(work(), copy_context())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["cleaned up"]

    asyncio.run(scenario())


def test_a_failure_before_the_first_wait_is_the_loops_to_report():
    async def scenario():
        reported = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: reported.append(context["exception"])
        )

        async def work():
            raise ValueError("soon")

        begin(work(), copy_context())
        await asyncio.sleep(0)
        assert [str(error) for error in reported] == ["soon"]

    asyncio.run(scenario())


def test_what_it_sets_in_its_context_stays_there():
    async def scenario():
        seen = []

        async def work():
            NUMBER.set(7)
            await asyncio.sleep(0)
            seen.append(NUMBER.get())

        task = begin(work(), copy_context())
        assert NUMBER.get() == 0
        await task
        assert seen == [7]

    asyncio.run(scenario())


def test_what_it_had_is_free_at_once_when_it_is_cancelled():
    """The answer to a client that left, of 60 MiB, stayed until the garbage collector came by."""

    class Answer:
        pass

    async def scenario():
        seen = []

        async def work():
            answer = Answer()
            seen.append(weakref.ref(answer))
            await asyncio.sleep(60)

        task = begin(work(), copy_context())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        del task
        await asyncio.sleep(0)
        assert seen[0]() is None

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()
