"""The core's side of one edge: what an edge may have under way, and what ends it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from keystead.processes.core import edge_link
from keystead.processes.core.body_budget import BodyBudget
from keystead.processes.core.edge_link import EdgeLink
from keystead.wire.connection import Connection
from keystead.wire.edge_messages import (
    BodyChunk,
    CoreToEdge,
    EdgeToCore,
    Request,
    Response,
    WantBody,
)
from keystead.wire.frames import EDGE_FRAME_BYTES


def request(number: int, **fields: object) -> Request:
    known = {"method": "GET", "path": "/", "query": "", "headers": {}, "client": "::1", "body": b""}
    return Request(id=number, **(known | fields))  # type: ignore[arg-type]


class Link:
    """Both ends of a session whose core answers when it is told to."""

    def __init__(self, body_bytes: int, budget_bytes: int) -> None:
        self.body = bytes(body_bytes)
        self.may_answer = asyncio.Event()
        self.lost: list[str] = []
        self.heard: list[CoreToEdge] = []
        self.begun = self.answered = 0
        self.session = EdgeLink(
            self._answer,
            budget=BodyBudget(budget_bytes),
            on_lost=lambda _, reason: self.lost.append(reason),
        )
        self.edge = Connection[CoreToEdge, EdgeToCore](
            CoreToEdge,
            max_bytes=EDGE_FRAME_BYTES,
            on_message=self.heard.append,
            on_lost=lambda _: None,
        )

    async def _answer(self, request: Request, _: object) -> Response:
        self.begun += 1
        await self.may_answer.wait()
        self.answered += 1
        return Response(request.id, 200, b"", self.body)


@asynccontextmanager
async def linked(*, body_bytes: int = 100_000, budget_bytes: int = 0) -> AsyncIterator[Link]:
    loop = asyncio.get_running_loop()
    core_end, edge_end = socket.socketpair()
    link = Link(body_bytes, budget_bytes)
    await loop.create_unix_connection(lambda: link.session.connection, sock=core_end)
    await loop.create_unix_connection(lambda: link.edge, sock=edge_end)
    yield link
    link.may_answer.set()
    link.edge.close()
    link.session.connection.close()
    await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells of."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


def test_more_requests_under_way_than_an_edge_can_have_end_it(monkeypatch):
    monkeypatch.setattr(edge_link, "MAX_UNANSWERED", 20)

    async def scenario():
        async with linked() as link:
            for number in range(20):
                link.edge.send(request(number))
            await until(lambda: link.begun == 20)
            assert link.lost == []
            link.edge.send(request(20))
            await until(lambda: bool(link.lost))
            assert link.lost == ["more requests than an edge has connections"]

    asyncio.run(scenario())


def test_an_id_can_be_used_again_once_it_is_answered_and_not_before():
    async def scenario():
        async with linked() as link:
            link.may_answer.set()
            for answers in (1, 2, 3):
                link.edge.send(request(1))
                await until(lambda answers=answers: len(link.heard) == answers)
            link.may_answer.clear()
            link.edge.send(request(1))
            link.edge.send(request(1))
            await until(lambda: bool(link.lost))
            assert link.lost == ["two requests with the same id"]

    asyncio.run(scenario())


def test_requests_are_not_answered_before_the_edge_takes_the_answers_to_others():
    async def scenario():
        async with linked() as link:
            link.edge.pause_reading()
            link.may_answer.set()
            for number in range(500):
                link.edge.send(request(number))
            await until(lambda: link.answered > 0)
            await asyncio.sleep(0.2)  # Time in which more than 50 would be answered.
            assert link.answered < 50
            link.edge.resume_reading()
            await until(lambda: len(link.heard) == 500)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "/" * 20_000},
        {"path": "/\xe9"},
        {"query": "\U0001f511"},
        {"method": "G" * 20_000},
        {"query": "q" * 20_000},
        {"headers": {"accept": "x" * 20_000}},
        {"headers": {"x" * 20_000: ""}},
        {"client": "1" * 100},
        {"client": "localhost"},
        {"client": "192.0.2.1\0"},
        {"client": "fe80::1%" + "x" * 57},
        {"headers": {"cookie": "x"}},
        {"headers": {"authorization": "\U0001f511" * 5000}},
        {"body": bytes(16 * 1024 + 1)},
    ],
    ids=lambda fields: repr(fields)[:20],
)
def test_a_request_that_no_edge_of_ours_lets_through_ends_it(fields):
    async def scenario():
        async with linked() as link:
            link.edge.send(request(1, **fields))
            await until(lambda: bool(link.lost))
            assert link.lost == ["a request that breaks the limits of an edge"]

    asyncio.run(scenario())


def test_headers_as_long_as_an_edge_lets_through_are_taken():
    async def scenario():
        async with linked() as link:
            link.may_answer.set()
            link.edge.send(
                request(1, headers={"authorization": "\xe9" * 15_000}, client="fe80::1%eth0")
            )
            await until(lambda: bool(link.lost or link.heard))
            assert (link.lost, len(link.heard)) == ([], 1)

    asyncio.run(scenario())


def test_long_answers_that_an_edge_does_not_fetch_are_refused_beyond_its_share():
    async def scenario():
        async with linked(body_bytes=300_000, budget_bytes=1_000_000) as link:
            link.may_answer.set()
            for number in range(5):
                link.edge.send(request(number))
            await until(lambda: len(link.heard) == 5)
            statuses = {one.id: one.status for one in link.heard if isinstance(one, Response)}
            assert statuses == {0: 200, 1: 200, 2: 200, 3: 503, 4: 503}
            link.edge.send(WantBody(0, 300_000))
            await until(lambda: any(isinstance(one, BodyChunk) and one.last for one in link.heard))
            link.edge.send(request(5))
            await until(lambda: isinstance(link.heard[-1], Response))
            assert link.heard[-1].status == 200, "what was fetched makes room"

    asyncio.run(scenario())
