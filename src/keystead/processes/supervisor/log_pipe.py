"""Copies a child's standard error to that of the supervisor.

So no child process has access to the file that the operator sends the log to.
"""

import asyncio
import contextlib
import math
import os
import sys
from types import TracebackType
from typing import Final, Self

MAX_LINE_BYTES: Final = 64 * 1024
"""The longest line that is passed on as a whole. A longer line is passed on in pieces."""
_READ_BYTES: Final = 64 * 1024


class LogPipe:
    """A pipe from a child. Its data is not parsed, only cut into lines."""

    def __init__(self, *, bytes_a_second: float = math.inf, before: bytes = b"") -> None:
        """Make a child that writes faster than `bytes_a_second` wait once the pipe is full.

        `before` is put before each line.
        """
        self._before = before
        self._bytes_a_second = bytes_a_second
        self._left = bytes_a_second
        self._next_second: asyncio.TimerHandle | None = None
        self._end, self.child_end = os.pipe()
        os.set_blocking(self._end, False)
        self._line = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._arrived)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the child's end here. The child has its own copy, or was not started."""
        os.close(self.child_end)
        if error is not None:
            self.drain()

    def drain(self) -> None:
        """Pass on the rest of the output of a child that has ended, and close."""
        if self._next_second is not None:
            self._next_second.cancel()
        while self._pass_on():
            pass
        if self._line:
            _write(self._before + self._line + b"\n")
        self._loop.remove_reader(self._end)
        os.close(self._end)

    def _arrived(self) -> None:
        self._left -= self._pass_on()
        if self._left <= 0:
            self._loop.remove_reader(self._end)
            self._next_second = self._loop.call_later(1, self._go_on)

    def _go_on(self) -> None:
        self._left = self._bytes_a_second
        self._loop.add_reader(self._end, self._arrived)

    def _pass_on(self) -> int:
        """Pass on complete lines. Return the number of bytes read, 0 if there are none now."""
        try:
            received = os.read(self._end, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not received:
            self._loop.remove_reader(self._end)
            return 0
        lines, newline, self._line = (self._line + received).rpartition(b"\n")
        if len(self._line) > MAX_LINE_BYTES:
            lines, newline, self._line = lines + newline + self._line, b"\n", b""
        if lines and self._before:
            lines = self._before + lines.replace(b"\n", b"\n" + self._before)
        _write(lines + newline)
        return len(received)


def _write(lines: bytes) -> None:
    with contextlib.suppress(OSError):  # Nobody has to read it.
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()
