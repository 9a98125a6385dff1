"""The bytes of one client, in and out, as fast as it and we take them."""

import asyncio
from collections import deque
from typing import Final

from keystead.edge.limits import UNSENT_BYTES, WRITE_STEP_BYTES


class ClientStream:
    """What a connection writes to its client, and whether it reads from it now."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """`transport` belongs to it from here on."""
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        self._transport: Final = transport
        self._waiting = deque[memoryview]()
        """What was not given to TLS yet, because the client does not take it now."""
        self._is_reading = True
        self._closes = False
        self.is_writable = True
        """Whether the client takes what is written. Nothing waits if it does."""
        self.is_closing: Final = transport.is_closing
        self.abort: Final = transport.abort
        """Ends the connection at once."""

    def write(self, data: bytes, more: bytes = b"") -> None:
        """Write as much of `data` and `more` as the client takes now, and the rest later.

        TLS gets it in steps: its buffers grow to the most that they had to hold, and keep that size
        as long as the connection. A long `more` is not copied.
        """
        if len(data) + len(more) <= WRITE_STEP_BYTES:
            data, more = data + more, b""
            if self.is_writable:
                self._transport.write(data)
                return
        self._waiting.append(memoryview(data))
        if more:
            self._waiting.append(memoryview(more))
        self._write_on()

    def pause_writing(self) -> None:
        """Write nothing for now."""
        self.is_writable = False

    def resume_writing(self) -> bool:
        """Write what waits. Return whether the client has taken it all."""
        self.is_writable = True
        self._write_on()
        return self.is_writable

    def close(self) -> None:
        """End the connection once what is written is sent."""
        self._closes = True
        self._write_on()

    def pause_reading(self) -> None:
        """Have the client wait with what it sends."""
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def _write_on(self) -> None:
        # The transport calls `pause_writing` during a write.
        while self._waiting and self.is_writable:
            data = self._waiting.popleft()
            if rest := data[WRITE_STEP_BYTES:]:
                self._waiting.appendleft(rest)
            self._transport.write(data[:WRITE_STEP_BYTES])
        if self._closes and not self._waiting:
            self._transport.close()
