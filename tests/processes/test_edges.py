"""The TLS identity on its way from the core to all of its edges, over real socket pairs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from keystead.certificates.tls_identity import make_tls_identity
from keystead.errors import InvalidInput, Overloaded
from keystead.journal.log import Log
from keystead.operations.tls import TlsIdentity
from keystead.processes.core import edges as module
from keystead.processes.core.body_budget import BodyBudget
from keystead.processes.core.edge_link import EdgeLink
from keystead.processes.core.edges import Edges
from keystead.wire.connection import Connection, ConnectionEnded
from keystead.wire.edge_messages import CoreToEdge, EdgeToCore, Serving, TriedOut, TryOut, Welcome
from keystead.wire.frames import EDGE_FRAME_BYTES

FIRST = TlsIdentity(*make_tls_identity("first"))
SECOND = TlsIdentity(*make_tls_identity("second"))


@dataclass
class Edge:
    """The other end of a session: keeps what it hears, and answers as it is told to."""

    session: EdgeLink
    connection: Connection[CoreToEdge, EdgeToCore]
    heard: list[CoreToEdge] = field(default_factory=list)
    refusal: str | None = ""
    """None: it says nothing."""
    is_late: bool = False

    def hear(self, message: CoreToEdge) -> None:
        self.heard.append(message)
        if isinstance(message, Welcome) and not self.is_late:
            self.connection.send(Serving())
        elif isinstance(message, TryOut) and self.refusal is not None:
            self.connection.send(TriedOut(message.id, self.refusal))

    def chains(self) -> list[bytes]:
        return [one.tls_chain_pem for one in self.heard if isinstance(one, Welcome)]


@asynccontextmanager
async def edge_of(edges: Edges) -> AsyncIterator[Edge]:
    async def answer(*_: object) -> None:
        raise AssertionError("no request is sent here")

    loop = asyncio.get_running_loop()
    core_end, edge_end = socket.socketpair()
    session = EdgeLink(
        answer,  # type: ignore[arg-type]  # never called
        budget=BodyBudget(0),
        on_lost=lambda session, _: edges.discard(session),
    )
    edge: Edge

    def hear(message: CoreToEdge) -> None:
        edge.hear(message)

    connection = Connection[CoreToEdge, EdgeToCore](
        CoreToEdge,
        max_bytes=EDGE_FRAME_BYTES,
        on_message=hear,
        on_lost=lambda _: None,
    )
    edge = Edge(session, connection)
    await loop.create_unix_connection(lambda: session.connection, sock=core_end)
    await loop.create_unix_connection(lambda: connection, sock=edge_end)
    edges.add(session)
    try:
        yield edge
    finally:
        connection.close()
        session.connection.close()
        await asyncio.sleep(0)


def new_edges() -> tuple[Edges, list[str]]:
    lines: list[str] = []
    return Edges(FIRST, Log("core", clock=lambda: 0.0, write=lines.append)), lines


def test_a_change_is_served_by_every_edge_when_it_is_answered():
    async def scenario():
        edges, _ = new_edges()
        async with edge_of(edges) as one, edge_of(edges) as other:
            await edges.serve(SECOND)
            for edge in (one, other):
                assert edge.chains() == [FIRST.chain, SECOND.chain]

    asyncio.run(scenario())


def test_an_edge_that_comes_later_is_welcomed_with_what_is_served_now():
    async def scenario():
        edges, _ = new_edges()
        await edges.serve(SECOND)
        async with edge_of(edges) as edge:
            await edge.session.serves()
            assert edge.chains() == [SECOND.chain]

    asyncio.run(scenario())


def test_an_edge_that_is_late_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(module, "SERVE_PATIENCE_SECONDS", 0.05)

    async def scenario():
        edges, lines = new_edges()
        async with edge_of(edges) as quick, edge_of(edges) as late:
            late.is_late = True
            await edges.serve(SECOND)
            assert quick.chains()[-1] == late.chains()[-1] == SECOND.chain
        assert "does not serve the new TLS identity" in "".join(lines)

    asyncio.run(scenario())


def test_an_edge_that_goes_away_is_not_waited_for():
    async def scenario():
        edges, lines = new_edges()
        async with edge_of(edges) as edge:
            edge.is_late = True
            asyncio.get_running_loop().call_later(0.05, edge.connection.close)
            await asyncio.wait_for(edges.serve(SECOND), 2)
        assert lines == []

    asyncio.run(scenario())


def test_what_an_edge_has_against_an_identity_is_told_and_nothing_is_served():
    async def scenario():
        edges, _ = new_edges()
        async with edge_of(edges) as edge:
            await edges.try_out(SECOND)
            edge.refusal = "ee key too small"
            with pytest.raises(InvalidInput, match=r"could not connect.*: ee key too small"):
                await edges.try_out(SECOND)
            assert edge.chains() == [FIRST.chain]

    asyncio.run(scenario())


def test_an_edge_that_says_nothing_is_not_the_only_one_that_is_asked(monkeypatch):
    monkeypatch.setattr(module, "TRY_PATIENCE_SECONDS", 0.05)

    async def scenario():
        edges, _ = new_edges()
        async with edge_of(edges) as one, edge_of(edges) as other:
            one.refusal = None
            await edges.try_out(SECOND)
            one.refusal, other.refusal = "", None
            await edges.try_out(SECOND)
            one.refusal = None
            with pytest.raises(Overloaded):
                await edges.try_out(SECOND)

    asyncio.run(scenario())


def test_a_refusal_of_any_length_is_cut():
    async def scenario():
        edges, _ = new_edges()
        async with edge_of(edges) as edge:
            edge.refusal = "x" * 1_000_000
            with pytest.raises(InvalidInput) as refused:
                await edges.try_out(SECOND)
            assert len(str(refused.value)) < 500

    asyncio.run(scenario())


def test_an_edge_that_serves_what_it_was_not_given_is_ended():
    async def scenario():
        edges, _ = new_edges()
        async with edge_of(edges) as edge:
            await edge.session.serves()
            edge.connection.send(Serving())
            await asyncio.sleep(0.05)
            with pytest.raises(ConnectionEnded):
                edge.session.welcome(b"", b"")

    asyncio.run(scenario())


def test_without_an_edge_nothing_can_be_tried():
    async def scenario():
        edges, _ = new_edges()
        with pytest.raises(Overloaded):
            await edges.try_out(SECOND)
        async with edge_of(edges) as edge:
            edge.session.connection.close()
            with pytest.raises(Overloaded):
                await edges.try_out(SECOND)

    asyncio.run(scenario())


def test_edges_are_welcomed_again_and_again_for_new_keys_of_session_tickets():
    async def chains() -> list[bytes]:
        log = Log("core", clock=lambda: 0.0, write=lambda _: None)
        edges = Edges(FIRST, log, renew_seconds=0.02)
        async with edge_of(edges) as edge:
            renewing = asyncio.create_task(edges.renew_forever())
            await asyncio.wait([renewing], timeout=1)
            renewing.cancel()
            return edge.chains()

    assert asyncio.run(chains())[:3] == [FIRST.chain] * 3
