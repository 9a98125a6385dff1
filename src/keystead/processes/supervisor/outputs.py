"""Standard output and error of the supervisor, which never make it wait for whoever reads them.

All processes' logs go there. Without this, a pipe that nobody reads any more would stop the server.
"""

import asyncio
import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MOST_WAITING_BYTES: Final = 1 << 20
FINAL_SECONDS: Final = 1
"""How long the end waits for the reader of what is left."""
_PIECE_BYTES: Final = 4096
"""What a pipe that is ready takes at once (PIPE_BUF)."""


@contextlib.contextmanager
def never_waiting(on_lost: Callable[[int], None]) -> Iterator[None]:
    """Replace sys.stdout and sys.stderr. `on_lost` gets the number of lines that were lost.

    It is called when stderr takes lines again, and may write one there.
    """
    stdout, stderr = sys.stdout, sys.stderr
    outputs = [_Output(stdout.fileno(), lambda _: None), _Output(stderr.fileno(), on_lost)]
    sys.stdout, sys.stderr = (io.TextIOWrapper(one, write_through=True) for one in outputs)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        for output in outputs:
            output.finish()


class _Output(io.RawIOBase):
    """Writes lines to a file, pipe, socket or terminal: now, or when there is room for them.

    The descriptor stays blocking, because other programs may have the same terminal or pipe.
    """

    def __init__(self, descriptor: int, on_lost: Callable[[int], None]) -> None:
        self.name: Final = descriptor
        """The descriptor, as it is called in files that were opened by their number."""
        self._on_lost = on_lost
        self._waiting = bytearray()
        self._lost = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        lines = bytes(data)
        if len(self._waiting) + len(lines) > MOST_WAITING_BYTES:
            self._lost += lines.count(b"\n")
            return len(lines)
        waited = bool(self._waiting)
        self._waiting += lines
        if not waited:
            self._write_on()
        return len(lines)

    def finish(self) -> None:
        """Write what still waits, unless its reader takes longer than `FINAL_SECONDS`."""
        end = time.monotonic() + FINAL_SECONDS
        while self._waiting and (left := end - time.monotonic()) > 0:
            self._poll.poll(left * 1000)
            self._write_on()

    def _write_on(self) -> None:
        while self._waiting:
            if not self._poll.poll(0):
                self._watch()
                return
            try:
                written = os.write(self.name, self._waiting[:_PIECE_BYTES])
            except OSError:  # The disk is full, or nobody is left to read.
                self._lost += self._waiting.count(b"\n")
                self._waiting.clear()
                self._unwatch()
                return
            del self._waiting[:written]
        self._unwatch()
        lost, self._lost = self._lost, 0
        if lost:
            self._on_lost(lost)

    def _watch(self) -> None:
        with contextlib.suppress(RuntimeError):  # It is before the event loop, or after.
            self._loop = asyncio.get_running_loop()
            self._loop.add_writer(self.name, self._write_on)

    def _unwatch(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self.name)
            self._loop = None
