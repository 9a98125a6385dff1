"""Requests whose clients are gone: what changes nothing stops, what changes something goes on."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from keystead.operations.shares import HSM, Party, Turns
from keystead.operations.work_pool import WorkPool
from keystead.processes.core.body_budget import BodyBudget
from keystead.processes.core.edge_link import EdgeLink
from keystead.storage import key_lists
from keystead.wire.connection import Connection
from keystead.wire.edge_messages import CoreToEdge, EdgeToCore, Request, RequestAborted
from keystead.wire.frames import EDGE_FRAME_BYTES
from tests.support.core import ADMIN, Core, Credentials, b64, basic, start_core, to_json
from tests.support.pools import WatchedPool
from tests.support.stores import DetachedStore

Result = TypeVar("Result")
KEYS = 40
LIST = "/keys?label=blue"
SEARCH = "/keys?details=true&labelContains=lu&type=Curve25519"
SIGN = {"mode": "PKCS1", "message": b64(bytes(32))}


@pytest.fixture(scope="module")
def store() -> DetachedStore:
    store = DetachedStore()
    store.turns = lambda: 3
    return store


class HeldPool(WorkPool):
    """A pool of one thread, whose work ends when the test lets it."""

    def __init__(self) -> None:
        super().__init__(name="held", threads=1, queue_limit=64)
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    async def run(self, work: Callable[[], Result], *, party: Party = HSM) -> Result:
        def held() -> Result:
            result = work()
            self.begun.set()
            assert self.may_end.wait(5)
            return result

        return await super().run(held, party=party)


@pytest.fixture(scope="module")
def pool() -> HeldPool:
    return HeldPool()


@pytest.fixture(scope="module")
def core(runner: asyncio.Runner, store: DetachedStore, pool: HeldPool) -> Iterator[Core]:
    """A core with many keys."""
    core = runner.run(start_core(store=store, pools=(pool, WatchedPool())))

    async def fill() -> None:
        await core.provision()
        for number in range(KEYS):
            await core.generate(f"k{number:02}", "Curve25519", "EdDSA_Signature", label="blue")
        await core.generate("rsa", "RSA", "RSA_Signature_PKCS1", length=1024)

    runner.run(fill())
    yield core
    core.close()


@pytest.fixture(scope="module")
def signer(runner: asyncio.Runner, core: Core) -> Credentials:
    """An Operator whose credentials were verified already."""
    operator = runner.run(core.add_user("signer", "Operator"))
    runner.run(core.request("GET", "/keys", user=operator))
    return operator


class Edge:
    """An edge by which one client comes and goes."""

    def __init__(self, core: Core) -> None:
        self.session = EdgeLink(
            core.dispatcher.answer, budget=BodyBudget(0), on_lost=lambda *_: None
        )
        self.heard: list[CoreToEdge] = []
        self._connection = Connection[CoreToEdge, EdgeToCore](
            CoreToEdge,
            max_bytes=EDGE_FRAME_BYTES,
            on_message=self.heard.append,
            on_lost=lambda _: None,
        )

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        core_end, edge_end = socket.socketpair()
        await loop.create_unix_connection(lambda: self.session.connection, sock=core_end)
        await loop.create_unix_connection(lambda: self._connection, sock=edge_end)

    def ask(self, method: str, path: str, user: Credentials, json: object = None) -> None:
        path, _, query = path.partition("?")
        headers = {"authorization": basic(user), "content-type": "application/json"}
        body = b"" if json is None else to_json(json)
        length = len(body)
        path = "/api/v1" + path
        self._connection.send(
            Request(7, method, path, query, headers, "192.0.2.1", body, content_length=length)
        )

    def leave(self) -> None:
        self._connection.send(RequestAborted(7))

    async def close(self) -> None:
        self._connection.close()
        self.session.connection.close()
        await asyncio.sleep(0.01)

    async def until_ended(self) -> None:
        async with asyncio.timeout(5):
            while self.session._under_way:  # noqa: ASYNC110, SLF001 - nothing tells of it
                await asyncio.sleep(0.001)


@pytest.fixture
def edge(runner: asyncio.Runner, core: Core) -> Iterator[Edge]:
    async def connected() -> Edge:
        edge = Edge(core)
        await edge.connect()
        return edge

    edge = runner.run(connected())
    yield edge
    runner.run(edge.close())


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)


@pytest.mark.parametrize("path", [LIST, "/keys/k*?label=blue", SEARCH])
async def test_a_list_that_nobody_waits_for_stops_reading(core, store, edge, path, monkeypatch):
    monkeypatch.setattr(key_lists, "PAGE_BYTES", 1)
    store.scans.clear()
    edge.ask("GET", path, ADMIN)
    await until(lambda: store.scans)
    edge.leave()
    await edge.until_ended()
    assert len(store.scans) < KEYS / 2
    assert not edge.heard
    answer = await core.request("GET", path, user=ADMIN)
    assert len(answer.json()) == KEYS, "and others are not kept waiting by it"


async def test_a_change_that_nobody_waits_for_is_made(core, store, edge):
    may_commit = asyncio.Event()
    store.before_commit = may_commit.wait
    edge.ask("PUT", "/keys/k00/label", ADMIN, {"label": "red"})
    await asyncio.sleep(0.01)
    edge.leave()
    await asyncio.sleep(0.01)
    store.before_commit = lambda: None
    may_commit.set()
    await edge.until_ended()
    assert (await core.request("GET", "/keys/k00", user=ADMIN)).json()["label"] == "red"
    await core.request("PUT", "/keys/k00/label", user=ADMIN, json={"label": "blue"})


@pytest.mark.parametrize("path", ["/journal", "/journal/head"])
async def test_a_reader_that_leaves_does_not_keep_the_journal_from_going_on(
    core, store, edge, path
):
    await core.request("PUT", "/keys/k00/restrictions/tags/t", user=ADMIN)
    is_writing, may_write = store.hold_next_commit()
    edge.ask("GET", path, ADMIN)
    await is_writing.wait()
    edge.leave()
    await edge.until_ended()
    may_write.set()
    await core.request("DELETE", "/keys/k00/restrictions/tags/t", user=ADMIN)
    answer = await core.request("GET", "/journal", user=ADMIN)
    assert answer.status == 200
    assert b"DELETE /keys/{key_id}/restrictions/tags/{tag}" in answer.body
    assert not any("the journal cannot be written" in line for line in core.log_lines)


async def test_a_failed_login_that_nobody_waits_for_is_counted(core, edge):
    edge.ask("GET", LIST, ("admin", "a wrong passphrase"))
    await asyncio.sleep(0)
    edge.leave()
    await asyncio.sleep(0.1)
    await edge.until_ended()
    assert (await core.request("GET", LIST, user=ADMIN)).status == 429
    core.clock.advance(10)


async def uses_of_rsa(core: Core) -> int:
    return (await core.request("GET", "/keys/rsa", user=ADMIN)).json()["operations"]


async def test_a_use_that_waits_for_its_turn_is_dropped_with_its_client(core, pool, signer, edge):
    pool.may_end.clear()
    before = asyncio.create_task(pool.run(lambda: None))
    edge.ask("POST", "/keys/rsa/sign", signer, SIGN)
    await asyncio.sleep(0.02)
    edge.leave()
    await edge.until_ended()
    assert not before.done()
    pool.may_end.set()
    await before
    await pool.run(lambda: None)
    assert await uses_of_rsa(core) == 0


async def test_a_use_that_has_not_begun_is_not_taken_from_the_policy(core, pool, signer, edge):
    policy = {"maxUses": 3, "maxPerMinute": 1}
    await core.request("PUT", "/keys/rsa/policy", user=ADMIN, json=policy)
    pool.may_end.clear()
    before = asyncio.create_task(pool.run(lambda: None))
    edge.ask("POST", "/keys/rsa/sign", signer, SIGN)
    await until(lambda: pool.under_way == 2)
    edge.leave()
    await edge.until_ended()
    pool.may_end.set()
    await before
    answer = await core.request("POST", "/keys/rsa/sign", user=signer, json=SIGN)
    assert answer.status == 200, answer
    left = await core.request("GET", "/keys/rsa/policy", user=ADMIN)
    assert left.json()["usesLeft"] == 2
    await core.request("DELETE", "/keys/rsa/policy", user=ADMIN)


async def test_a_use_that_has_begun_counts_without_its_client(core, pool, signer, edge):
    uses = await uses_of_rsa(core)
    pool.may_end.clear()
    pool.begun.clear()
    edge.ask("POST", "/keys/rsa/sign", signer, SIGN)
    await until(pool.begun.is_set)
    edge.leave()
    await edge.until_ended()
    pool.may_end.set()
    assert await uses_of_rsa(core) == uses + 1
    assert not edge.heard


@pytest.mark.parametrize("path", [LIST, "/keys?details=true"])
async def test_lists_read_one_page_at_a_time_all_together(core, store, monkeypatch, path):
    monkeypatch.setattr(key_lists, "PAGE_BYTES", 2000)
    store.most_scans_at_once = 0
    lists = (core.request("GET", path, user=ADMIN) for _ in range(20))
    for answer in await asyncio.gather(*lists):
        assert sum(item["id"] != "rsa" for item in answer.json()) == KEYS
    assert store.most_scans_at_once == 1


async def test_who_asks_for_too_many_lists_is_refused_and_another_is_not(core, signer, monkeypatch):
    monkeypatch.setattr(core.hsm.session, "listing", Turns(5))
    many = [asyncio.create_task(core.request("GET", LIST, user=ADMIN)) for _ in range(20)]
    await asyncio.sleep(0)
    other = await core.request("GET", LIST, user=signer)
    statuses = [(await one).status for one in many]
    assert other.status == 200
    assert statuses.count(503) >= 15
    assert statuses.count(200) >= 1
