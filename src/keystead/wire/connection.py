"""One end of a stream of frames between two processes, on asyncio.

Messages sent in one turn of the event loop share a few writes. Back-pressure works both ways: a
sender learns from `is_writable` and `drain` that the other side does not keep up, and a receiver
that falls behind pauses reading.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from keystead.wire.frames import BrokenFrame, FrameDecoder, append_frame

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing", bound=msgspec.Struct)


MOST_UNSENT = 16
"""The most messages that wait for the end of a turn of the event loop. If all messages of a turn
waited, edge and core would work alternately under load, each waiting for the batch of the other."""


class ConnectionEnded(Exception):
    """Raised if the other process is gone or broke the protocol."""


class Connection(asyncio.Protocol, Generic[Incoming, Outgoing]):
    """An asyncio protocol for one stream of frames; give it to a transport, then send and receive.

    `on_message` is called with every message in order. It raises BrokenFrame for a message that is
    not allowed at this point. `on_lost` is called once, at the end, with the reason.
    """

    def __init__(
        self,
        incoming: object,
        *,
        max_bytes: int,
        on_message: Callable[[Incoming], None],
        on_lost: Callable[[str], None],
        on_writable: Callable[[], None] | None = None,
    ) -> None:
        """`incoming` is the message type, or the union of them, that this end accepts."""
        self._decoder = FrameDecoder[Incoming](incoming, max_bytes=max_bytes)
        self._max_bytes = max_bytes
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_writable = on_writable
        self._transport: asyncio.Transport | None = None
        self._call_soon = asyncio.get_running_loop().call_soon
        self._pending = bytearray()
        self._unsent = 0
        self._is_receiving = False
        self.is_writable = True
        """Whether the other side keeps up. Sending is possible in any case."""
        # An Event for waiting tasks. The flag is separate, because each request reads it.
        self._writable = asyncio.Event()
        self._writable.set()
        self._end: str | None = None

    # --- for the owner ---------------------------------------------------------------------

    def send(self, message: Outgoing) -> None:
        """Queue `message`; it leaves at the end of this turn of the event loop at the latest.

        Raises ConnectionEnded if the connection is over, and FrameTooLong if the message is too
        long.
        """
        if self._transport is None:
            raise ConnectionEnded(self._end or "not connected yet")
        if not self._unsent and not self._is_receiving:
            self._call_soon(self._flush)
        append_frame(self._pending, message, max_bytes=self._max_bytes)
        self._unsent += 1
        if self._unsent >= MOST_UNSENT:
            self._flush()

    def send_now(self, message: Outgoing) -> None:
        """Send `message` before this turn of the event loop goes on. Raises what `send` does.

        It is for work that the other side can do while this one goes on, such as a commit.
        """
        self.send(message)
        self._flush()

    async def drain(self) -> None:
        """Wait until the other side keeps up.

        Raises ConnectionEnded if the connection has ended.
        """
        await self._writable.wait()
        if self._end is not None:
            raise ConnectionEnded(self._end)

    def pause_reading(self) -> None:
        """Stop taking messages, which makes the other side wait."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take messages again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what is queued, then end the connection."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    # --- for the transport -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start; called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Decode messages and pass them on. A protocol violation ends the connection."""
        self._is_receiving = True
        try:
            for message in self._decoder.feed(data):
                self._on_message(message)
        except BrokenFrame as error:
            self._break(str(error))
        finally:
            self._is_receiving = False
        self._flush()

    def pause_writing(self) -> None:
        """Note that the other side does not keep up."""
        self.is_writable = False
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the other side keeps up again."""
        self.is_writable = True
        self._writable.set()
        if self._on_writable is not None:
            self._on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, once."""
        if self._end is None:
            self._end = str(exc) if exc else "closed by the other side"
        self._transport = None
        self._pending.clear()
        self.is_writable = True
        self._writable.set()
        self._on_lost(self._end)

    def _break(self, reason: str) -> None:
        self._end = reason
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            pending, self._pending = self._pending, bytearray()
            self._unsent = 0
            self._transport.write(pending)


class Numbered(Protocol):
    """A message that is answered by one that carries the same `id`."""

    @property
    def id(self) -> int:
        """The id, which is unique in one connection."""
        ...


Reply = TypeVar("Reply", bound=Numbered)


class Exchanges(Generic[Reply]):
    """Questions over a connection, any number at a time, each matched with its reply by `id`.

    The owner of the connection hands every reply to `answered`, and its end to `lost`.
    """

    def __init__(self, send: Callable[[Any], None], drain: Callable[[], Awaitable[None]]) -> None:
        """`send` and `drain` are those of a Connection."""
        self._send = send
        self._drain = drain
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Reply]] = {}

    def next_id(self) -> int:
        """Return the id of the next question."""
        self._last_id += 1
        return self._last_id

    async def ask(self, message: Numbered) -> Reply:
        """Send `message` and return the reply to it.

        Raises ConnectionEnded if the connection ends before the reply.
        """
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await self._drain()
        self._send(message)
        self._waiting[message.id] = reply
        try:
            return await reply
        finally:
            self._waiting.pop(message.id, None)

    def answered(self, reply: Reply) -> None:
        """Wake the caller that waits for this reply. Other replies are dropped."""
        waiting = self._waiting.get(reply.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def lost(self, reason: str) -> None:
        """Raise ConnectionEnded in every waiting caller."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionEnded(reason))
