"""Bodies in parts between core and edge: as fast as the receiver takes them, in bounded memory."""

import asyncio
from functools import wraps

import pytest

from keystead.api.http.route import ResponseCut, StreamedResponse
from keystead.edge.core_request import CoreRequest
from keystead.errors import Overloaded, TooLarge
from keystead.operations.shares import Party, of_network
from keystead.processes.core.bodies import (
    FIRST_CREDIT_BYTES,
    WINDOW_BYTES,
    IncomingBody,
    OutgoingBody,
    OutgoingStream,
    WholeBody,
)
from keystead.processes.core.body_budget import MAX_BODIES_OF_ONE, BodyBudget
from keystead.wire.edge_messages import BodyChunk, Request, Response, ResponseAborted

PART = OutgoingBody.PART_BYTES


def in_a_loop(test):
    @wraps(test)
    def run():
        asyncio.run(test())

    return run


def incoming(budget, asked, *, body=b"", length=None, client="192.0.2.1"):
    request = Request(1, "POST", "/", "", {}, client, body, length, more=True)
    return IncomingBody(request, budget, ask=asked.append)


def test_a_body_taken_in_parts_is_asked_for_as_it_is_taken():
    async def scenario():
        budget, asked = BodyBudget(WINDOW_BYTES), []
        body = incoming(budget, asked, body=b"first")
        parts = body.parts(10 * WINDOW_BYTES)
        assert await anext(parts) == b"first"
        assert asked == []
        total = 0
        for number in range(12):
            waiting = asyncio.ensure_future(anext(parts))
            await asyncio.sleep(0)
            left = sum(want.credit for want in asked) - total
            assert left <= min(max(total, FIRST_CREDIT_BYTES), WINDOW_BYTES)
            body.arrived(BodyChunk(1, bytes(left), last=number == 11))
            total += len(await waiting)
        with pytest.raises(StopAsyncIteration):
            await anext(parts)
        assert total > 4 * WINDOW_BYTES
        body.close()
        budget.take(WINDOW_BYTES, "x")
        with pytest.raises(Overloaded):
            budget.take(1, "x")

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


LONG = 300_000
A, A2, B = (Party(namespace, user) for namespace, user in ("ax", "ay", "bx"))


async def reading(budget, party, *, arrived=0):
    """Have a body under way of which so many bytes have arrived; return it, and who reads it."""
    asked = []
    body = incoming(budget, asked)
    body.belongs_to(party)
    reader = asyncio.ensure_future(body.read(10 * LONG))
    await asyncio.sleep(0)
    while arrived and not reader.done():
        part = min(arrived, asked[-1].credit)
        body.arrived(BodyChunk(1, bytes(part), last=False))
        arrived -= part
        await asyncio.sleep(0)
    return body, reader


async def is_refused(reader):
    await asyncio.sleep(0)
    return reader.done() and isinstance(reader.exception(), Overloaded)


@in_a_loop
async def test_what_is_only_announced_keeps_nobody_out():
    whole = BodyBudget(LONG * 4)
    mine, other = (BodyBudget(LONG * 3, part_of=whole) for _ in range(2))
    announced = [await reading(mine, A, arrived=27) for _ in range(64)]
    for budget in (mine, other):
        _, reader = await reading(budget, B, arrived=LONG // 2)
        assert not await is_refused(reader)
        reader.cancel()
    assert any([await is_refused(reader) for _, reader in announced])


@in_a_loop
async def test_when_it_is_full_whoever_has_most_makes_room():
    budget = BodyBudget(LONG * 6)
    first = [await reading(budget, A, arrived=LONG) for _ in range(4)]
    _, other = await reading(budget, B, arrived=LONG)
    assert not await is_refused(other)
    ended = [await is_refused(reader) for _, reader in first]
    assert any(ended)
    assert not all(ended)
    _, more = await reading(budget, A, arrived=3 * LONG)
    assert await is_refused(more), "it has most itself"
    other.cancel()


@in_a_loop
async def test_what_was_refused_is_free_at_once_and_what_still_comes_of_it_is_dropped():
    budget = BodyBudget(LONG)
    body, reader = await reading(budget, A, arrived=LONG // 2)
    body.refuse()
    budget.take(LONG, B)
    body.arrived(BodyChunk(1, b"late", last=True))
    assert await is_refused(reader)
    body.close()
    budget.give_back(LONG, B)
    budget.take(LONG, B)


@in_a_loop
async def test_a_body_that_is_refused_while_nobody_reads_it_is_refused_to_the_next_who_does():
    body = incoming(BodyBudget(LONG), [])
    body.refuse()
    with pytest.raises(Overloaded):
        await body.read(LONG)


@in_a_loop
async def test_one_namespace_has_so_many_bodies_under_way_and_no_more():
    budget = BodyBudget(1024 * LONG)
    bodies = [await reading(budget, A) for _ in range(MAX_BODIES_OF_ONE)]
    assert await is_refused((await reading(budget, A))[1])
    assert not await is_refused((await reading(budget, B))[1])
    bodies[0][0].close()
    assert not await is_refused((await reading(budget, A))[1])


@in_a_loop
async def test_one_user_of_a_namespace_keeps_no_other_out_of_its_memory():
    budget = BodyBudget(LONG * 6)
    first = [await reading(budget, A, arrived=LONG) for _ in range(4)]
    _, other = await reading(budget, A2, arrived=LONG)
    assert not await is_refused(other)
    assert any([await is_refused(reader) for _, reader in first])
    _, more = await reading(budget, A2, arrived=3 * LONG)
    assert await is_refused(more), "now this one has most"
    other.cancel()


@in_a_loop
async def test_one_user_of_a_namespace_keeps_no_other_out_of_its_number_of_bodies():
    budget = BodyBudget(1024 * LONG, part_of=BodyBudget(1024 * LONG))
    bodies = [await reading(budget, A) for _ in range(MAX_BODIES_OF_ONE)]
    others = [await reading(budget, A2) for _ in range(MAX_BODIES_OF_ONE)]
    refused = [await is_refused(reader) for _, reader in (*bodies, *others)]
    assert refused.count(True) == MAX_BODIES_OF_ONE
    assert refused[MAX_BODIES_OF_ONE:].count(False) == MAX_BODIES_OF_ONE // 2


@in_a_loop
async def test_another_namespace_makes_room_before_another_user_of_the_same_one():
    budget = BodyBudget(LONG * 6)
    _, of_a = await reading(budget, A, arrived=LONG)
    of_b = [await reading(budget, B, arrived=LONG) for _ in range(2)]
    _, newcomer = await reading(budget, A2, arrived=LONG)
    assert not await is_refused(of_a)
    assert not await is_refused(newcomer)
    assert any([await is_refused(reader) for _, reader in of_b])


@in_a_loop
async def test_without_a_user_it_is_the_network_that_counts():
    budget = BodyBudget(LONG)
    parties = {incoming(budget, [], client=f"2001:db8::{one}").party for one in range(9)}
    assert parties == {of_network("2001:db8::/64")}


async def sending(budget, party, *, size, cut):
    """Have an answer that its client does not take; return what was sent, and its task."""
    sent = []
    body = OutgoingBody(
        Response(1, 200, b"", bytes(size)),
        sent.append,
        budget=budget,
        party=party,
        on_cut=lambda: cut.append(party),
    )

    async def send():
        try:
            await body.send()
        finally:
            body.close()

    task = asyncio.ensure_future(send())
    await asyncio.sleep(0)
    return sent, task


@in_a_loop
async def test_answers_that_are_taken_slowly_keep_nobody_else_out():
    """One Operator who read four long answers slowly had all others' long bodies refused."""
    budget, cut = BodyBudget(LONG * 6, part_of=BodyBudget(LONG * 9)), []
    slow = [await sending(budget, A, size=size * LONG, cut=cut) for size in (2, 3, 1)]
    _, other = await reading(budget, B, arrived=LONG)
    assert not await is_refused(other)
    assert [task.done() for _, task in slow] == [False, True, False], "the longest makes room"
    assert isinstance(slow[1][0][-1], ResponseAborted)
    assert cut == [A]
    with pytest.raises(Overloaded):
        await sending(budget, A, size=4 * LONG, cut=cut)
    other.cancel()


@in_a_loop
async def test_what_was_cut_or_left_is_free_again():
    budget, cut = BodyBudget(LONG), []
    for party in (A, B):
        _, task = await sending(budget, A, size=LONG, cut=cut)
        if party == B:
            budget.take(LONG // 2 - 1, B)
            budget.give_back(LONG // 2 - 1, B)
        else:
            task.cancel()
        await asyncio.wait([task])
    budget.take(LONG, B)
    assert cut == [A]


class Edge:
    """What was sent to the edge, and the maker of it."""

    def __init__(self, make):
        self.sent = []
        self.closed = False
        self.stream = OutgoingStream(
            StreamedResponse(Response(1, 200, b"", b"", remaining=None), self._parts(make)),
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


def test_what_an_edge_asks_for_is_enough_for_a_part_of_a_stream():
    class Link:
        def send(self, message):
            self.sent = message

    link = Link()
    CoreRequest(link, None).ask_for_more()

    async def scenario():
        edge = Edge(small_parts)
        edge.stream.wanted(link.sent.credit)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(edge.sent[-1].data) == PART
        edge.stream.abort()
        await edge.task

    asyncio.run(scenario())


def test_a_stream_sends_one_part_each_time_it_is_wanted():
    async def scenario():
        edge = Edge(small_parts)
        await asyncio.sleep(0.01)
        assert edge.sent == [Response(1, 200, b"", b"", remaining=None)]
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
