"""The log of a process, which it writes to the standard error that it inherited."""

import asyncio
import contextlib
import sys
import time
from typing import Any, Literal

from keystead.journal.log import Log


def log_to_stderr(process: Literal["supervisor", "core", "platform"]) -> Log:
    """Return the log for this process."""

    def write(line: str) -> None:
        with contextlib.suppress(OSError):  # The disk that the operator sends the log to is full.
            sys.stderr.write(line)
            sys.stderr.flush()

    return Log(process, clock=time.time, write=write)  # noqa: TID251 - clocks are given out here


def log_bugs(loop: asyncio.AbstractEventLoop, log: Log) -> None:
    """Log errors that reach the event loop as bugs.

    The event loop's own handler would print their messages, which may quote secrets.
    """

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.bug("unexpected error", error if isinstance(error, BaseException) else RuntimeError())

    loop.set_exception_handler(handle)
