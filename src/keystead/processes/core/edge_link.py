"""The core's side of the connection to one edge: requests, responses and their bodies."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from contextvars import copy_context
from functools import lru_cache
from typing import Final, NamedTuple

from keystead.api.http.route import StreamedResponse
from keystead.api.http.statuses import error_body, error_headers, header_lines
from keystead.api.http.unread_body import BodyReader
from keystead.edge.limits import MAX_HEAD_BYTES, MAX_INLINE_BODY_BYTES
from keystead.errors import Overloaded
from keystead.operations.attempts import network_of
from keystead.operations.shares import EDGE, Party, of_network
from keystead.processes.core.bodies import (
    IncomingBody,
    OutgoingBody,
    OutgoingStream,
    WholeBody,
)
from keystead.processes.core.body_budget import BodyBudget
from keystead.processes.core.eager import begin
from keystead.wire.connection import Connection, ConnectionEnded, Exchanges
from keystead.wire.edge_messages import (
    FORWARDED_HEADERS,
    BodyChunk,
    CoreToEdge,
    EdgeToCore,
    Refusal,
    Refusals,
    Request,
    RequestAborted,
    Response,
    Serving,
    TriedOut,
    TryOut,
    WantBody,
    Welcome,
)
from keystead.wire.frames import EDGE_FRAME_BYTES, BrokenFrame

MAX_UNANSWERED: Final = 12_288
"""The most running requests of one edge, which is more than its connections. An edge that sends
more was captured."""

MAX_ADDRESS_CHARACTERS: Final = 64
"""The length of an IPv6 address with the name of an interface."""

MAX_REFUSAL_CHARACTERS: Final = 300
"""The longest reason of an edge against a TLS identity. A longer reason is cut."""

# For each response: with Python 3.11, a constant of a class is not found at the speed of a name.
_PART_BYTES: Final = OutgoingBody.PART_BYTES


class _UnderWay(NamedTuple):
    """A request that waits for something."""

    task: asyncio.Task[None]
    body: WholeBody | IncomingBody


Dispatch = Callable[[Request, BodyReader], Awaitable[Response | StreamedResponse]]


class EdgeLink:
    """The session of one edge, from its Welcome to its end."""

    def __init__(
        self, answer: Dispatch, *, budget: BodyBudget, on_lost: Callable[["EdgeLink", str], None]
    ) -> None:
        """`answer` never raises. `budget` is the memory for bodies of this edge."""
        self._answer = answer
        self._budget = budget
        self._under_way: dict[int, _UnderWay] = {}
        """The requests that wait for something. This reference keeps their tasks alive."""
        self._incoming: dict[int, IncomingBody] = {}
        self._outgoing: dict[int, OutgoingBody | OutgoingStream] = {}
        self._tell_lost = on_lost
        self.connection: Final = Connection[EdgeToCore, CoreToEdge](
            EdgeToCore,
            max_bytes=EDGE_FRAME_BYTES,
            on_message=self._received,
            on_lost=self._lost,
            on_writable=self._keeps_up,
        )
        self.on_refusals: Callable[[Mapping[Refusal, int]], None] = lambda _: None
        """Called with the counts of what the edge has refused by itself."""
        self.on_cut: Callable[[], None] = lambda: None
        """Called when an answer is cut because others need its memory."""
        self._trials = Exchanges[TriedOut](self.connection.send, self.connection.drain)
        self._turn = asyncio.Lock()
        self._serving = asyncio.Event()
        self._unserved = 0
        self._context = copy_context()
        """What the contexts of all requests of this edge begin as."""
        self._context.run(EDGE.set, self)

    def welcome(self, key_pem: bytes, chain_pem: bytes) -> None:
        """Have the edge serve this TLS identity from now on."""
        self._unserved += 1
        self._serving.clear()
        self.connection.send(Welcome(key_pem, chain_pem))

    async def serves(self) -> None:
        """Wait until the edge serves the identity of the last Welcome, or is gone."""
        await self._serving.wait()

    async def try_out(self, key_pem: bytes, chain_pem: bytes) -> str:
        """Return why the edge refuses a TLS identity, or "".

        Raises ConnectionEnded if the edge is gone.
        """
        trial = TryOut(self._trials.next_id(), key_pem, chain_pem)
        return (await self._trials.ask(trial)).refusal[:MAX_REFUSAL_CHARACTERS]

    # --- from the edge ---------------------------------------------------------------------

    def _received(self, message: EdgeToCore) -> None:
        if isinstance(message, Request):
            self._asked(message)
            return
        match message:
            case BodyChunk():
                if (incoming := self._incoming.get(message.id)) is not None:
                    incoming.arrived(message)
            case WantBody():
                if (outgoing := self._outgoing.get(message.id)) is not None:
                    outgoing.wanted(message.credit)
                self._require_progress()
            case RequestAborted():
                self._aborted(message.id)
            case Serving() | TriedOut() | Refusals():
                self._spoke_of_itself(message)

    def _asked(self, request: Request) -> None:
        _require_modest(request)
        if request.id in self._under_way:
            raise BrokenFrame("two requests with the same id")
        if len(self._under_way) >= MAX_UNANSWERED:
            raise BrokenFrame("more requests than an edge has connections")
        body = self._late_body(request) if request.more else WholeBody(request.body)
        task = begin(self._serve(request, body), self._context.copy())
        if task is not None:
            self._under_way[request.id] = _UnderWay(task, body)
        if not self.connection.is_writable:
            self._require_progress()

    def _require_progress(self) -> None:
        """Read no more requests while the edge does not read its responses."""
        if not self.connection.is_writable:
            self.connection.pause_reading()

    def _keeps_up(self) -> None:
        self.connection.resume_reading()

    def _aborted(self, request_id: int) -> None:
        """Stop waiting for a client that is gone. A request that changes something goes on."""
        if (outgoing := self._outgoing.get(request_id)) is not None:
            outgoing.abort()
        if (under_way := self._under_way.get(request_id)) is not None:
            task, body = under_way
            body.abort()
            if body.ends_with_client:
                task.cancel()

    def _spoke_of_itself(self, message: Serving | TriedOut | Refusals) -> None:
        if isinstance(message, TriedOut):
            self._trials.answered(message)
            return
        if isinstance(message, Refusals):
            self.on_refusals(message.counts)
            return
        if not self._unserved:
            raise BrokenFrame("the edge serves a TLS identity that it was not given")
        self._unserved -= 1
        if not self._unserved:
            self._serving.set()

    def _lost(self, reason: str) -> None:
        for request_id in self._under_way:
            self._aborted(request_id)
        self._trials.lost(reason)
        self._serving.set()
        self._tell_lost(self, reason)

    # --- to the edge -----------------------------------------------------------------------

    async def _serve(self, request: Request, body: WholeBody | IncomingBody) -> None:
        try:
            if not self.connection.is_writable:
                await self._edge_takes_answers()
                if body.is_abandoned:
                    return
            if isinstance(body, IncomingBody):
                response = await self._answer_streamed(request, body)
            else:
                response = await self._answer(request, body)
            if body.is_abandoned:
                return
            if isinstance(response, Response) and len(response.body) <= _PART_BYTES:
                self.connection.send(response)
            else:
                party = body.party or of_network(network_of(request.client))
                await self._respond_in_parts(request, response, party)
        except ConnectionEnded:
            pass  # The edge is gone, and its clients with it.
        finally:
            self._under_way.pop(request.id, None)

    async def _edge_takes_answers(self) -> None:
        """Wait, one request at a time: unread responses would fill the memory."""
        async with self._turn:
            await self.connection.drain()

    def _late_body(self, request: Request) -> IncomingBody:
        body = IncomingBody(request, self._budget, ask=self.connection.send)
        self._incoming[request.id] = body
        return body

    async def _answer_streamed(
        self, request: Request, body: IncomingBody
    ) -> Response | StreamedResponse:
        try:
            return await self._answer(request, body)
        finally:
            del self._incoming[request.id]
            body.close()

    async def _respond_in_parts(
        self, request: Request, response: Response | StreamedResponse, party: Party
    ) -> None:
        try:
            if isinstance(response, StreamedResponse):
                await self._stream(request, response, party)
            else:
                await self._send_long(request, response, party)
        except Overloaded as error:
            content = error_body(error.message)
            lines = header_lines(error_headers(503))
            self.connection.send(Response(request.id, 503, lines, content))

    async def _stream(self, request: Request, response: StreamedResponse, party: Party) -> None:
        async with aclosing(response.parts):
            self._budget.take(_PART_BYTES, party)
            try:
                await self._send(request, OutgoingStream(response, self.connection.send))
            finally:
                self._budget.give_back(_PART_BYTES, party)

    async def _send_long(self, request: Request, response: Response, party: Party) -> None:
        body = OutgoingBody(
            response, self.connection.send, budget=self._budget, party=party, on_cut=self.on_cut
        )
        try:
            await self._send(request, body)
        finally:
            body.close()

    async def _send(self, request: Request, body: OutgoingBody | OutgoingStream) -> None:
        self._outgoing[request.id] = body
        try:
            await body.send()
        finally:
            del self._outgoing[request.id]


def _require_modest(request: Request) -> None:
    """Raise BrokenFrame for a request that an honest edge would have refused."""
    headers, target = request.headers, request.method + request.path + request.query
    values = "".join(headers.values())
    if not (
        target.isascii()
        and (values.isascii() or max(values) <= "\xff")
        and FORWARDED_HEADERS.issuperset(headers)
        and len(target) + len(values) <= MAX_HEAD_BYTES
        and len(request.body) <= MAX_INLINE_BODY_BYTES
        and len(request.client) <= MAX_ADDRESS_CHARACTERS
        and _is_address(request.client)
    ):
        raise BrokenFrame("a request that breaks the limits of an edge")


@lru_cache(maxsize=4096)
def _is_address(client: str) -> bool:
    try:
        ipaddress.ip_address(client)
    except ValueError:
        return False
    return True
