"""Bodies between core and edge: whole, or in parts at the speed of the receiver."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from io import BytesIO
from typing import ClassVar, Final

from keystead.api.http.route import ResponseCut, StreamedResponse
from keystead.errors import Overloaded, TooLarge
from keystead.operations.attempts import network_of
from keystead.operations.shares import Party, of_network
from keystead.processes.core.body_budget import TOO_MANY, BodyBudget
from keystead.wire.connection import ConnectionEnded
from keystead.wire.edge_messages import (
    ANSWER_PART_BYTES,
    BodyChunk,
    Request,
    Response,
    ResponseAborted,
    WantBody,
)
from keystead.wire.frames import BrokenFrame

WINDOW_BYTES: Final = 512 * 1024
"""The most bytes of a body that are sent ahead. This is enough to keep an edge busy."""
FIRST_CREDIT_BYTES: Final = 16 * 1024
"""The bytes that a body may send at first. Later it may send as much again as has arrived."""


class _Abandonable:
    """A request that its client may leave before it is answered."""

    is_abandoned: bool
    """Whether the client has disconnected."""
    ends_with_client: bool
    """Whether the request may be cancelled in that case, because it changes nothing."""

    def end_with_client(self) -> None:
        """Cancel the request when its client disconnects, or now if it has disconnected already."""
        self.ends_with_client = True
        if self.is_abandoned:
            raise asyncio.CancelledError

    def abort(self) -> None:
        """Note that the client has disconnected."""
        self.is_abandoned = True


class WholeBody(_Abandonable):
    """A body that came with its request."""

    def __init__(self, body: bytes) -> None:
        self.whole = body
        self.is_abandoned = self.ends_with_client = False
        self.party: Party | None = None
        """The holder that the memory of a long answer is counted for, if it is known."""

    async def read(self, limit: int) -> bytes:
        """Return the body. Raises TooLarge if it has more than `limit` bytes."""
        if len(self.whole) > limit:
            raise TooLarge(f"The body is over {limit} bytes.")
        return self.whole

    async def parts(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body. Raises TooLarge if it has more than `limit` bytes."""
        yield await self.read(limit)

    def belongs_to(self, party: Party) -> None:
        """Count the answer for `party`. The body takes no memory besides its request."""
        self.party = party


class IncomingBody(_Abandonable):
    """A body that the edge sends in parts, when the core asks for them."""

    whole: Final = None

    def __init__(
        self, request: Request, budget: BodyBudget, *, ask: Callable[[WantBody], None]
    ) -> None:
        """`ask` sends a message to the edge, or raises ConnectionEnded."""
        self.is_abandoned = self.ends_with_client = False
        self._request = request
        self._budget = budget
        self._ask = ask
        self.party = of_network(network_of(request.client))
        """The holder that the memory of the body is counted for."""
        self.taken_bytes = 0
        self._arrived_bytes = 0
        self._is_begun = False
        self._is_refused = False
        self._credit = 0
        self._received = BytesIO()  # Unlike a bytearray, it returns its content without a copy.
        self._received.write(request.body)
        self._is_complete = False
        self._news: asyncio.Future[None] | None = None

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TooLarge if it has more than `limit` bytes.

        Raises Overloaded if all bodies together take too much memory, and CancelledError if the
        client disconnects.
        """
        length = self._request.content_length
        while True:
            if self._received.tell() > limit or (length is not None and length > limit):
                raise TooLarge(f"The body is over {limit} bytes.")
            if self._is_complete:
                return self._take_received()
            await self._wait_for_more()

    async def parts(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. The client can send only as fast as parts are taken.

        Raises TooLarge, Overloaded and CancelledError as `read` does.
        """
        left = limit
        while True:
            part = self._take_received()
            self._give_back(len(part))
            left -= len(part)
            if left < 0:
                raise TooLarge(f"The body is over {limit} bytes.")
            if part:
                yield part
            elif self._is_complete:
                return
            else:
                await self._wait_for_more()

    def belongs_to(self, party: Party) -> None:
        """Count it for `party`; before any of it is read."""
        self.party = party

    def arrived(self, chunk: BodyChunk) -> None:
        """Take a part from the edge. Raises BrokenFrame if the part was not asked for."""
        self._credit -= len(chunk.data)
        if self._credit < 0 or self._is_complete:
            raise BrokenFrame("more of a body than was asked for")
        if self._is_refused:
            return
        self._arrived_bytes += len(chunk.data)
        self._received.write(chunk.data)
        self._is_complete = chunk.last
        if chunk.last:
            self._budget.end(self)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def abort(self) -> None:
        """Stop waiting: the rest will not come."""
        super().abort()
        if self._news is not None:
            self._news.cancel()

    def refuse(self) -> None:
        """Release the memory at once. The reader of the body gets Overloaded."""
        self._is_refused = True
        self.close()
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def close(self) -> None:
        """Release the memory, because the request is answered."""
        self._budget.end(self)
        self._take_received()
        self._give_back(self.taken_bytes)

    def _take_received(self) -> bytes:
        """Return what has arrived and drop it, so that a long body is in memory only once."""
        received, self._received = self._received, BytesIO()
        return received.getvalue()

    def _give_back(self, size: int) -> None:
        # What came with the request was not taken from the budget.
        size = min(size, self.taken_bytes)
        self.taken_bytes -= size
        self._budget.give_back(size, self.party)

    def _extend_credit(self) -> None:
        """Ask for more when half of the window is used up, so that the edge never has to wait.

        The window grows with the bytes that have arrived, so that a body that is only announced
        takes little memory.
        """
        window = min(max(self._arrived_bytes, FIRST_CREDIT_BYTES), WINDOW_BYTES)
        if self._credit > window // 2:
            return
        more = window - self._credit
        self._budget.take(more, self.party)
        self.taken_bytes += more
        self._credit += more
        self._ask(WantBody(self._request.id, more))

    async def _wait_for_more(self) -> None:
        if self.is_abandoned:
            raise asyncio.CancelledError
        self._require_unrefused()
        if not self._is_begun:
            self._budget.begin(self)
            self._is_begun = True
        try:
            self._extend_credit()
        except ConnectionEnded:  # The edge is gone, and with it the client.
            raise asyncio.CancelledError from None
        self._news = asyncio.get_running_loop().create_future()
        await self._news
        self._require_unrefused()

    def _require_unrefused(self) -> None:
        if self._is_refused:
            raise Overloaded(TOO_MANY)


class OutgoingBody:
    """The body of a response that is too long for one frame."""

    PART_BYTES: ClassVar = ANSWER_PART_BYTES
    """The longest body that is sent with its response, and the longest later part."""

    def __init__(
        self,
        response: Response,
        send: Callable[[Response | BodyChunk | ResponseAborted], None],
        *,
        budget: BodyBudget,
        party: Party,
        on_cut: Callable[[], None],
    ) -> None:
        """`send` sends a message to the edge, or raises ConnectionEnded.

        `on_cut` is called if others need the memory before the client has taken the body. Raises
        Overloaded if there is none for it. Call `close` at the end.
        """
        self._response = response
        self._send = send
        self._budget = budget
        self._on_cut = on_cut
        self.party = party
        """The holder that the memory of the body is counted for."""
        self.taken_bytes = len(response.body)
        budget.take(self.taken_bytes, party)
        budget.hold(self)
        self._credit = 0
        self._is_aborted = False
        self._news: asyncio.Future[None] | None = None

    async def send(self) -> None:
        """Send the response with the first part of its body, and the rest when the edge asks."""
        response, body = self._response, memoryview(self._response.body)
        position = self.PART_BYTES
        remaining = len(body) - position
        first = bytes(body[:position])
        self._send(Response(response.id, response.status, response.header_lines, first, remaining))
        while remaining and not self._is_aborted:
            if not self._credit:
                self._news = asyncio.get_running_loop().create_future()
                await self._news
                continue
            part = bytes(body[position : position + min(self._credit, self.PART_BYTES)])
            position += len(part)
            remaining -= len(part)
            self._credit -= len(part)
            self._send(BodyChunk(response.id, part, last=not remaining))

    def wanted(self, credit: int) -> None:
        """Send up to `credit` bytes more, but no more than a window at a time."""
        self._credit = min(self._credit + max(credit, 0), WINDOW_BYTES)
        self._wake()

    def abort(self) -> None:
        """Stop sending, because the client has disconnected."""
        self._is_aborted = True
        self._wake()

    def refuse(self) -> None:
        """Stop sending, because others need the memory. The client sees a broken transfer."""
        self.close()
        self.abort()
        with suppress(ConnectionEnded):
            self._send(ResponseAborted(self._response.id))
        self._on_cut()

    def close(self) -> None:
        """Give the memory back to the budget."""
        size, self.taken_bytes = self.taken_bytes, 0
        self._budget.release(self)
        self._budget.give_back(size, self.party)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class OutgoingStream:
    """A body that is made while it is sent, one part each time the edge asks."""

    def __init__(
        self,
        response: StreamedResponse,
        send: Callable[[Response | BodyChunk | ResponseAborted], None],
    ) -> None:
        """`send` sends a message to the edge, or raises ConnectionEnded."""
        self._response = response
        self._send = send
        self._wanted = asyncio.Event()
        self._is_aborted = False

    async def send(self) -> None:
        """Send the response and its body, until its end or until the client disconnects."""
        head = self._response.head
        self._send(head)
        async with aclosing(_regrouped(self._response.parts, OutgoingBody.PART_BYTES)) as parts:
            try:
                async for part in parts:
                    if not await self._may_send():
                        return
                    self._send(BodyChunk(head.id, part, last=False))
            except ResponseCut:
                self._send(ResponseAborted(head.id))
                return
        self._send(BodyChunk(head.id, b"", last=True))

    def wanted(self, credit: int) -> None:
        """Send the next part. `credit` is always enough for it."""
        if credit >= OutgoingBody.PART_BYTES:
            self._wanted.set()

    def abort(self) -> None:
        """Stop sending, because the client has disconnected."""
        self._is_aborted = True
        self._wanted.set()

    async def _may_send(self) -> bool:
        await self._wanted.wait()
        self._wanted.clear()
        return not self._is_aborted


async def _regrouped(parts: AsyncGenerator[bytes, None], size: int) -> AsyncGenerator[bytes, None]:
    """Yield the same bytes in parts of `size`, the last one shorter; closes `parts`."""
    waiting = bytearray()
    async with aclosing(parts):
        async for part in parts:
            waiting += part
            while len(waiting) >= size:
                yield bytes(waiting[:size])
                del waiting[:size]
    if waiting:
        yield bytes(waiting)
