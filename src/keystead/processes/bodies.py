"""Bodies between core and edge: whole, or in parts as fast as the receiver asks for them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from io import BytesIO
from typing import ClassVar, Final

from keystead.api.route import ResponseCut, StreamedResponse
from keystead.errors import Overloaded, TooLarge
from keystead.wire.connection import ConnectionEnded
from keystead.wire.frames import BrokenFrame
from keystead.wire.messages import BodyChunk, Request, Response, ResponseAborted, WantBody

WINDOW_BYTES: Final = 512 * 1024
"""How much of a body is on its way at a time: enough to keep an edge busy."""


class BodyBudget:
    """The memory that bodies under way may take together: all of them, or those of one edge."""

    def __init__(self, limit_bytes: int, *, part_of: "BodyBudget | None" = None) -> None:
        """Count what is taken in `part_of` too."""
        self._free = limit_bytes
        self._whole = part_of

    def take(self, size: int) -> None:
        """Reserve `size` bytes. Raises Overloaded, at once, when so many are not free."""
        if size > self._free:
            raise Overloaded("Too many large requests at once; try again in a moment.")
        if self._whole is not None:
            self._whole.take(size)
        self._free -= size

    def give_back(self, size: int) -> None:
        """Free `size` bytes that were taken."""
        self._free += size
        if self._whole is not None:
            self._whole.give_back(size)


class WholeBody:
    """A body that came with its request."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, limit: int) -> bytes:
        """Return the body; raises TooLarge when it has more than `limit` bytes."""
        if len(self._body) > limit:
            raise TooLarge(f"The body is over {limit} bytes.")
        return self._body

    async def parts(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body; raises TooLarge when it has more than `limit` bytes."""
        yield await self.read(limit)


class IncomingBody:
    """A body that the edge sends when asked to."""

    def __init__(
        self, request: Request, budget: BodyBudget, *, ask: Callable[[WantBody], None]
    ) -> None:
        """`ask` sends a message to the edge, or raises ConnectionEnded."""
        self._request = request
        self._budget = budget
        self._ask = ask
        self._taken = 0
        self._credit = 0
        self._received = BytesIO()  # Unlike a bytearray, it gives what it has without a copy.
        self._received.write(request.body)
        self._is_complete = False
        self._is_aborted = False
        self._news: asyncio.Future[None] | None = None

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raises TooLarge when it has more than `limit` bytes.

        Raises Overloaded when all bodies together take too much memory. Ends as if cancelled when
        the client goes away first.
        """
        length = self._request.content_length
        while True:
            if self._received.tell() > limit or (length is not None and length > limit):
                raise TooLarge(f"The body is over {limit} bytes.")
            if self._is_complete:
                return self._take_received()
            await self._wait_for_more()

    async def parts(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; the client sends no faster than parts are taken.

        Raises TooLarge and Overloaded as `read` does, and ends as it does without the client.
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

    def arrived(self, chunk: BodyChunk) -> None:
        """Take a part from the edge. Raises BrokenFrame for more than was asked for."""
        self._credit -= len(chunk.data)
        if self._credit < 0 or self._is_complete:
            raise BrokenFrame("more of a body than was asked for")
        self._received.write(chunk.data)
        self._is_complete = chunk.last
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def abort(self) -> None:
        """Stop waiting: the rest will not come."""
        self._is_aborted = True
        if self._news is not None:
            self._news.cancel()

    def close(self) -> None:
        """Give the memory back; the request is answered."""
        self._take_received()
        self._give_back(self._taken)

    def _take_received(self) -> bytes:
        """Return what has arrived, and keep nothing of it: a long body is there only once."""
        received, self._received = self._received, BytesIO()
        return received.getvalue()

    def _give_back(self, size: int) -> None:
        # What came with the request was not taken from the budget.
        size = min(size, self._taken)
        self._taken -= size
        self._budget.give_back(size)

    def _extend_credit(self) -> None:
        """Ask for more when half of the window is used up, so that the edge never has to wait."""
        if self._credit > WINDOW_BYTES // 2:
            return
        more = WINDOW_BYTES - self._credit
        self._budget.take(more)
        self._taken += more
        self._credit += more
        self._ask(WantBody(self._request.id, more))

    async def _wait_for_more(self) -> None:
        if self._is_aborted:
            raise asyncio.CancelledError
        try:
            self._extend_credit()
        except ConnectionEnded:  # The edge is gone, and the client with it.
            raise asyncio.CancelledError from None
        self._news = asyncio.get_running_loop().create_future()
        await self._news


class OutgoingBody:
    """The body of a response that is too long for one frame."""

    PART_BYTES: ClassVar = 256 * 1024
    """The longest body that goes with its response, and the longest part after it."""

    def __init__(self, response: Response, send: Callable[[Response | BodyChunk], None]) -> None:
        """`send` sends a message to the edge, or raises ConnectionEnded."""
        self._response = response
        self._send = send
        self._credit = 0
        self._is_aborted = False
        self._news: asyncio.Future[None] | None = None

    async def send(self) -> None:
        """Send the response with the first part of its body, the rest as the edge asks for it."""
        response, body = self._response, memoryview(self._response.body)
        position = self.PART_BYTES
        remaining = len(body) - position
        first = bytes(body[:position])
        self._send(Response(response.id, response.status, response.headers, first, remaining))
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
        """Send no more: nobody is there to take it."""
        self._is_aborted = True
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class OutgoingStream:
    """The body of a response that is made while it is sent, a part each time the edge asks."""

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
        """Send the response and its body, until its end or until nobody is there to take it."""
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
        """Send one part more; `credit` is always enough for it."""
        if credit >= OutgoingBody.PART_BYTES:
            self._wanted.set()

    def abort(self) -> None:
        """Send no more: nobody is there to take it."""
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
