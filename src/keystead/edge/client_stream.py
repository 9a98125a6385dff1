"""The bytes of one client, in and out, as fast as it and we take them."""

import asyncio
from typing import Final

from keystead.edge.limits import UNSENT_BYTES, WRITE_STEP_BYTES


class ClientStream:
    """What a connection writes to its client, and whether it reads from it now."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """`transport` belongs to it from here on."""
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        self._transport: Final = transport
        self._is_reading = True
        self.is_writable = True
        """Whether the client takes what is written. The connection sets it."""
        self.is_closing: Final = transport.is_closing
        self.close: Final = transport.close
        """Ends the connection once what is written is sent."""
        self.abort: Final = transport.abort
        """Ends the connection at once."""

    def write(self, data: bytes) -> None:
        """Write in steps: TLS keeps a buffer as large as one write."""
        for start in range(0, len(data), WRITE_STEP_BYTES):
            self._transport.write(data[start : start + WRITE_STEP_BYTES])

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
