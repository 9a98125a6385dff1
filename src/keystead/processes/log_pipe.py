"""What a child writes to its standard error, passed on to that of the supervisor.

So no child holds the file that the operator sends the log to.
"""

import asyncio
import contextlib
import os
import sys
from types import TracebackType
from typing import Final, Self

MAX_LINE_BYTES: Final = 64 * 1024
"""Of a line that has not ended; a longer one is passed on in pieces."""
_READ_BYTES: Final = 64 * 1024


class LogPipe:
    """A pipe with a child at its other end; what comes is not looked at, only cut into lines."""

    def __init__(self) -> None:
        self._end, self.child_end = os.pipe()
        os.set_blocking(self._end, False)
        self._line = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._pass_on)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the child's end: it has its own copy, or never came to be."""
        os.close(self.child_end)
        if error is not None:
            self.drain()

    def drain(self) -> None:
        """Pass on what is left of a child that has ended, and close."""
        while self._pass_on():
            pass
        if self._line:
            _write(self._line + b"\n")
        self._loop.remove_reader(self._end)
        os.close(self._end)

    def _pass_on(self) -> bool:
        """Pass on the lines that are there; return whether there may be more."""
        try:
            received = os.read(self._end, _READ_BYTES)
        except BlockingIOError:
            return False
        if not received:
            self._loop.remove_reader(self._end)
            return False
        lines, newline, self._line = (self._line + received).rpartition(b"\n")
        if len(self._line) > MAX_LINE_BYTES:
            lines, newline, self._line = lines + newline + self._line, b"\n", b""
        _write(lines + newline)
        return True


def _write(lines: bytes) -> None:
    with contextlib.suppress(OSError):  # Nobody has to read it.
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()
