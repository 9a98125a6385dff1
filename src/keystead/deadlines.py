"""Waiting for something for a limited time.

`asyncio.wait_for` is not used: in Python 3.11 it loses a cancellation that comes when what it waits
for has just happened. A task that is cancelled once then goes on for ever.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


async def within(seconds: float, awaited: Awaitable[Result]) -> Result:
    """Return what `awaited` returns.

    When the time is over or the caller is cancelled, `awaited` is cancelled, and this waits for
    its end. A result that comes at the moment of a cancellation is dropped, so it must be nothing
    that somebody has to give back. Needs no current task. Raises TimeoutError when the time is
    over.
    """
    waiting = asyncio.ensure_future(awaited)
    try:
        _ = await asyncio.wait((waiting,), timeout=seconds)
    except asyncio.CancelledError:
        await _end(waiting)
        raise
    if not waiting.done():
        await _end(waiting)
        if waiting.cancelled():
            raise TimeoutError
    return waiting.result()


async def _end(waiting: asyncio.Future[Result]) -> None:
    waiting.cancel()
    _ = await asyncio.wait((waiting,))
    if not waiting.cancelled():
        waiting.exception()  # Nobody may be left to ask for it.
