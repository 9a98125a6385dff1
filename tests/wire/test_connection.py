"""Connections between processes: one write a turn, back-pressure, replies by their id."""

import asyncio
import contextlib
import functools
import socket
import types

import pytest

from keystead.wire.connection import MOST_UNSENT, Connection, ConnectionEnded, Exchanges
from keystead.wire.edge_messages import BodyChunk, RequestAborted, WantBody
from keystead.wire.frames import BrokenFrame
from keystead.wire.platform_messages import Found, Get, StoreRefusal

MAX = 100_000


class End:
    """One end of a connection, and what happened to it."""

    def __init__(self, incoming=BodyChunk | WantBody, on_message=None):
        self.messages, self.ends, self.writable = [], [], 0
        self._news, self._ended = asyncio.Event(), asyncio.Event()
        self.connection = Connection(
            incoming,
            max_bytes=MAX,
            on_message=on_message or self._take,
            on_lost=self._lose,
            on_writable=self._note_writable,
        )

    def _take(self, message):
        self.messages.append(message)
        self._news.set()

    def _lose(self, reason):
        self.ends.append(reason)
        self._ended.set()

    def _note_writable(self):
        self.writable += 1

    async def ended(self) -> str:
        async with asyncio.timeout(5):
            await self._ended.wait()
        (reason,) = self.ends
        return reason

    async def received(self, count: int) -> list:
        async with asyncio.timeout(5):
            while len(self.messages) < count:
                self._news.clear()
                await self._news.wait()
        return self.messages


@contextlib.asynccontextmanager
async def connected(right: End | None = None):
    """Two ends of a connection, closed at the end."""
    ends = End(), right or End()
    for end, sock in zip(ends, socket.socketpair(), strict=True):
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda end=end: end.connection, sock=sock)
    yield ends
    for end in ends:
        end.connection.close()
    for end in ends:
        await end.ended()


def asynchronous(test):
    """Run a coroutine function as a test."""

    @functools.wraps(test)
    def run():
        asyncio.run(test())

    return run


@asynchronous
async def test_messages_arrive_in_order():
    async with connected() as (left, right):
        sent = [BodyChunk(n, b"x" * n, last=False) for n in range(300)]
        for message in sent:
            left.connection.send(message)
        assert await right.received(len(sent)) == sent


@asynchronous
async def test_what_is_sent_in_one_turn_is_written_in_groups_and_the_rest_at_its_end():
    end, writes = End(), []
    end.connection.connection_made(types.SimpleNamespace(write=writes.append))
    for n in range(2 * MOST_UNSENT + 1):
        end.connection.send(WantBody(n, 1))
    assert len(writes) == 2
    await asyncio.sleep(0)
    assert len(writes) == 3


@asynchronous
async def test_a_receiver_that_pauses_is_felt_by_the_sender():
    async with connected() as (left, right):
        right.connection.pause_reading()
        for _ in range(100):
            left.connection.send(BodyChunk(1, b"x" * 50_000, last=False))
            await asyncio.sleep(0)
        assert not left.connection.is_writable
        waiting = asyncio.ensure_future(left.connection.drain())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        right.connection.resume_reading()
        await waiting
        assert left.connection.is_writable
        assert left.writable == 1
        await right.received(100)


@asynchronous
async def test_a_broken_frame_ends_the_connection_on_both_sides():
    async with connected() as (left, right):
        left.connection.send(RequestAborted(1))
        assert "not a message" in await right.ended()
        await left.ended()
        assert right.messages == []
        for end in (left, right):
            with pytest.raises(ConnectionEnded):
                end.connection.send(WantBody(1, 1))
            with pytest.raises(ConnectionEnded):
                await end.connection.drain()


@asynchronous
async def test_a_message_that_makes_no_sense_ends_the_connection():
    def refuse(_):
        raise BrokenFrame("not now")

    async with connected(End(on_message=refuse)) as (left, right):
        left.connection.send(WantBody(1, 1))
        assert await right.ended() == "not now"


@asynchronous
async def test_close_sends_what_is_queued_first():
    async with connected() as (left, right):
        left.connection.send(WantBody(1, 1))
        left.connection.close()
        assert await right.ended() == "closed by the other side"
        assert right.messages == [WantBody(1, 1)]


@asynchronous
async def test_nothing_is_sent_before_there_is_a_connection():
    with pytest.raises(ConnectionEnded, match="not connected"):
        End().connection.send(WantBody(1, 1))


async def at_once() -> None:
    """Drain a connection that is never full."""


@asynchronous
async def test_calls_get_their_own_replies_in_whatever_order():
    sent = []
    exchanges = Exchanges(sent.append, at_once)
    first, second = (
        asyncio.ensure_future(exchanges.ask(Get(exchanges.next_id(), path))) for path in "ab"
    )
    await asyncio.sleep(0)
    exchanges.answered(Found(sent[1].id, b"b", 1))
    exchanges.answered(Found(99, b"nobody's", 1))
    exchanges.answered(Found(sent[0].id, b"a", 1))
    assert [(await first).value, (await second).value] == [b"a", b"b"]


@asynchronous
async def test_a_lost_connection_fails_every_call_that_waits():
    exchanges = Exchanges([].append, at_once)
    waiting = asyncio.ensure_future(exchanges.ask(Get(exchanges.next_id(), "a")))
    cancelled = asyncio.ensure_future(exchanges.ask(Get(exchanges.next_id(), "b")))
    await asyncio.sleep(0)
    cancelled.cancel()
    exchanges.lost("gone")
    exchanges.answered(StoreRefusal(1, "unavailable", "too late"))
    with pytest.raises(ConnectionEnded, match="gone"):
        await waiting
