"""The same scenarios over every backend."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keystead.etcd.messages import DeleteRangeRequest
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.remote import RemoteStore, StoreAnswer, StoreAnswers
from keystead.storage.backends.split import SplitStore
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import KeyValueStore
from keystead.wire.connection import Connection, Exchanges
from keystead.wire.platform_messages import (
    StoreQuestion,
)
from tests.support import etcd_calls
from tests.support.etcd import Cluster, Member, PatientClient, needs_etcd
from tests.support.memory_store import MemoryStore

OpenStore = Callable[[], AbstractAsyncContextManager[KeyValueStore]]
WithStore = Callable[[Callable[[Any], Awaitable[None]]], None]

MAX_BYTES = 2**22


@asynccontextmanager
async def memory() -> AsyncIterator[KeyValueStore]:
    yield MemoryStore()


@asynccontextmanager
async def sqlite() -> AsyncIterator[KeyValueStore]:
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore(Path(directory) / "keystead.db")
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def split() -> AsyncIterator[KeyValueStore]:
    yield SplitStore(MemoryStore(), MemoryStore(), device="device")


@asynccontextmanager
async def remote() -> AsyncIterator[KeyValueStore]:
    """A store in memory behind a socket pair, as the core sees the platform's."""
    loop = asyncio.get_running_loop()
    served = StoreAnswers(MemoryStore())
    tasks: set[asyncio.Task[None]] = set()

    def ask(question: StoreQuestion) -> None:
        async def reply() -> None:
            platform.send(await served.to(question))

        task = loop.create_task(reply())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    platform = Connection(
        StoreQuestion, max_bytes=MAX_BYTES, on_message=ask, on_lost=lambda _: None
    )

    def hear(reply: StoreAnswer) -> None:
        calls.answered(reply)

    def lose(reason: str) -> None:
        calls.lost(reason)

    core = Connection(
        StoreAnswer,
        max_bytes=MAX_BYTES,
        on_message=hear,
        on_lost=lose,
    )
    calls = Exchanges(core.send, core.drain)
    ours, theirs = socket.socketpair()
    await loop.create_connection(lambda: core, sock=ours)
    await loop.create_connection(lambda: platform, sock=theirs)
    try:
        yield RemoteStore(calls)
    finally:
        core.close()
        platform.close()
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def etcd_member() -> Iterator[Member]:
    """A cluster of one for all tests of this process."""
    with Cluster(1) as cluster:
        yield cluster.members[0]


def etcd(member: Member) -> OpenStore:
    """A store in etcd that has held records before, and is empty again."""

    @asynccontextmanager
    async def store() -> AsyncIterator[KeyValueStore]:
        client = PatientClient(str(member.socket))
        await client.call(etcd_calls.DELETE_RANGE, DeleteRangeRequest(b"/", b"0"))
        opened = EtcdStore(client, device="0123456789")
        try:
            yield opened
        finally:
            await opened.close()

    return store


BACKENDS: dict[str, OpenStore] = {
    "memory": memory,
    "sqlite": sqlite,
    "remote": remote,
    "split": split,
}


@pytest.fixture(params=[*BACKENDS, pytest.param("etcd", marks=needs_etcd)])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Each backend in turn, empty."""
    if request.param == "etcd":
        return etcd(request.getfixturevalue("etcd_member"))
    return BACKENDS[request.param]


@pytest.fixture
def with_store(open_store: OpenStore) -> WithStore:
    """Run a coroutine function on an empty store of each backend."""

    def run(scenario: Callable[[KeyValueStore], Awaitable[None]]) -> None:
        async def main() -> None:
            async with open_store() as store:
                await scenario(store)

        asyncio.run(main())

    return run
