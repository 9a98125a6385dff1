"""Bodies in parts between core and edge: as fast as the receiver takes them, in bounded memory."""

import asyncio

import pytest

from keystead.api.route import ResponseCut, StreamedResponse
from keystead.errors import Overloaded, TooLarge
from keystead.processes.bodies import (
    WINDOW_BYTES,
    BodyBudget,
    IncomingBody,
    OutgoingBody,
    OutgoingStream,
    WholeBody,
)
from keystead.wire.messages import BodyChunk, Request, Response, ResponseAborted

PART = OutgoingBody.PART_BYTES


def incoming(budget, asked, *, body=b"", length=None):
    request = Request(1, "POST", "/", "", {}, "", body, length, more=True)
    return IncomingBody(request, budget, ask=asked.append)


def test_a_body_taken_in_parts_is_asked_for_as_it_is_taken():
    async def scenario():
        budget, asked = BodyBudget(WINDOW_BYTES), []
        body = incoming(budget, asked, body=b"first")
        parts = body.parts(10 * WINDOW_BYTES)
        assert await anext(parts) == b"first"
        assert asked == []
        total = 0
        for number in range(8):
            waiting = asyncio.ensure_future(anext(parts))
            await asyncio.sleep(0)
            assert sum(want.credit for want in asked) - total <= WINDOW_BYTES
            body.arrived(BodyChunk(1, bytes(WINDOW_BYTES // 2), last=number == 7))
            total += len(await waiting)
        with pytest.raises(StopAsyncIteration):
            await anext(parts)
        assert total == 4 * WINDOW_BYTES
        body.close()
        budget.take(WINDOW_BYTES)
        with pytest.raises(Overloaded):
            budget.take(1)

    asyncio.run(scenario())


def test_a_body_taken_in_parts_has_a_limit():
    async def scenario():
        body = incoming(BodyBudget(WINDOW_BYTES), [], body=bytes(11))
        with pytest.raises(TooLarge):
            await anext(body.parts(10))
        with pytest.raises(TooLarge):
            await anext(WholeBody(bytes(11)).parts(10))
        assert [part async for part in WholeBody(b"whole").parts(10)] == [b"whole"]

    asyncio.run(scenario())


def test_a_body_taken_in_parts_ends_with_its_client():
    async def scenario():
        body = incoming(BodyBudget(WINDOW_BYTES), [])
        parts = body.parts(10)
        waiting = asyncio.ensure_future(anext(parts))
        await asyncio.sleep(0)
        body.abort()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scenario())


class Edge:
    """What was sent to the edge, and the maker of it."""

    def __init__(self, make):
        self.sent = []
        self.closed = False
        self.stream = OutgoingStream(
            StreamedResponse(Response(1, 200, [], b"", remaining=None), self._parts(make)),
            self.sent.append,
        )
        self.task = asyncio.ensure_future(self.stream.send())

    async def _parts(self, make):
        try:
            async for part in make():
                yield part
        finally:
            self.closed = True

    async def want(self):
        before = len(self.sent)
        self.stream.wanted(PART)
        for _ in range(20):
            await asyncio.sleep(0)
        return self.sent[before:]


async def small_parts():
    for number in range(3 * PART // 1000):
        yield bytes([number % 256]) * 1000


def test_a_stream_sends_one_part_each_time_it_is_wanted():
    async def scenario():
        edge = Edge(small_parts)
        await asyncio.sleep(0.01)
        assert edge.sent == [Response(1, 200, [], b"", remaining=None)]
        (first,) = await edge.want()
        assert (len(first.data), first.last) == (PART, False)
        received = first.data
        while not edge.task.done():
            received += b"".join(chunk.data for chunk in await edge.want())
        assert received == b"".join([part async for part in small_parts()])
        assert edge.sent[-1] == BodyChunk(1, b"", last=True)
        assert edge.closed

    asyncio.run(scenario())


def test_a_stream_that_breaks_is_aborted_and_not_ended():
    async def broken():
        yield bytes(PART)
        raise ResponseCut

    async def scenario():
        edge = Edge(broken)
        await asyncio.sleep(0.01)
        await edge.want()
        await edge.task
        assert edge.sent[-1] == ResponseAborted(1)
        assert not any(isinstance(one, BodyChunk) and one.last for one in edge.sent)
        assert edge.closed

    asyncio.run(scenario())


def test_a_stream_stops_when_nobody_takes_it():
    async def scenario():
        edge = Edge(small_parts)
        await asyncio.sleep(0.01)
        edge.stream.abort()
        await edge.task
        assert len(edge.sent) == 1
        assert edge.closed

    asyncio.run(scenario())
