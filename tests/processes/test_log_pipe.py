"""What a child may write into the log, and how fast."""

import asyncio
import os
import time

from keystead.processes.supervisor.log_pipe import LogPipe

LINE = b"x" * 1023 + b"\n"


def test_a_child_that_says_too_much_waits(capfdbinary):
    async def scenario() -> float:
        with LogPipe(bytes_a_second=200 * 1024) as log:
            end = os.dup(log.child_end)
        began = time.monotonic()
        await asyncio.to_thread(lambda: [os.write(end, LINE) for _ in range(512)])
        took = time.monotonic() - began
        os.close(end)
        log.drain()
        return took

    # Three times what a second takes, less what the pipe holds and a piece or two more.
    assert asyncio.run(scenario()) >= 1
    assert capfdbinary.readouterr().err == LINE * 512


def test_others_do_not_wait(capfdbinary):
    async def scenario() -> None:
        with LogPipe() as log:
            end = os.dup(log.child_end)
        await asyncio.to_thread(lambda: [os.write(end, LINE) for _ in range(2048)])
        os.close(end)
        log.drain()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert capfdbinary.readouterr().err == LINE * 2048


def test_a_line_that_does_not_end_is_passed_on_at_the_end(capfdbinary):
    async def scenario() -> None:
        with LogPipe() as log:
            end = os.dup(log.child_end)
        os.write(end, b"first\nsecond")
        os.close(end)
        log.drain()

    asyncio.run(scenario())
    assert capfdbinary.readouterr().err == b"first\nsecond\n"


def test_each_line_says_whose_it_is(capfdbinary):
    async def scenario() -> None:
        with LogPipe(before=b"etcd: ") as log:
            end = os.dup(log.child_end)
        os.write(end, b"first\nsecond\nthird")
        os.close(end)
        log.drain()

    asyncio.run(scenario())
    assert capfdbinary.readouterr().err == b"etcd: first\netcd: second\netcd: third\n"
