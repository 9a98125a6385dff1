"""What every backend promises of a snapshot, and when it ends."""

import asyncio
import contextlib
import errno
import os

import pytest

from keystead.errors import SnapshotUnavailable, StaleRevision, StoreUnavailable
from keystead.storage.backends import sqlite_file
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.remote import MOST_SNAPSHOTS, RemoteStore
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.generations import POINTER, GenerationStore
from keystead.storage.key_value_store import Change, StoredValue
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import Committed, SnapshotKept
from tests.support import etcd_calls
from tests.support.etcd import PatientClient, needs_etcd
from tests.support.memory_store import MemoryStore

NUMBERS = range(100, 160)
VALUE = bytes(200)
PAGE_BYTES = 1000
"""Five records or so."""


async def scanned(readable, limit_bytes=PAGE_BYTES):
    """Yield what a scan of all records finds, page by page."""
    start = "/"
    while page := await readable.scan(start, "0", limit_bytes=limit_bytes):
        yield page
        start = page[-1].path + "\0"


async def contents(readable):
    return [record async for page in scanned(readable) for record in page]


def test_a_snapshot_is_the_state_at_one_revision_whatever_is_written_while_it_is_read(with_store):
    async def scenario(store):
        await store.commit([Change(f"/{number}", VALUE) for number in NUMBERS])
        await store.commit([Change("/100", b"newer"), Change("/159", None)])
        before = await contents(store)
        snapshot = await store.snapshot()
        found = []
        async for page in scanned(snapshot):
            found += page
            last = int(found[-1].path[1:])
            # Behind and before the place that the scan has reached.
            await store.commit(
                [
                    Change("/100", b"changed"),
                    Change(f"/{last - 1}", None),
                    Change(f"/{last + 2}", None),
                    Change(f"/{last + 3}", b"later"),
                    Change(f"/{last}a", b"new"),
                ]
            )
        assert found == before
        assert (await snapshot.get("/100")).value == b"newer"
        assert await snapshot.get("/159") is None
        assert await contents(store) != before
        await snapshot.close()

    with_store(scenario)


def test_two_snapshots_are_each_of_their_own_moment(with_store):
    async def scenario(store):
        first = await store.commit([Change("/a", b"1")])
        one = await store.snapshot()
        second = await store.commit([Change("/a", b"2"), Change("/b", b"2")])
        other = await store.snapshot()
        await store.commit([Change("/a", None)])
        assert await one.get("/a") == StoredValue(b"1", first)
        assert await one.get("/b") is None
        await one.close()
        assert await other.get("/a") == StoredValue(b"2", second)
        assert [record.path for record in await contents(other)] == ["/a", "/b"]
        await other.close()

    with_store(scenario)


def test_a_closed_snapshot_shows_nothing(with_store):
    async def scenario(store):
        await store.commit([Change("/a", b"1")])
        snapshot = await store.snapshot()
        await snapshot.close()
        await snapshot.close()
        with pytest.raises(SnapshotUnavailable):
            await snapshot.get("/a")
        with pytest.raises(SnapshotUnavailable):
            await snapshot.scan("/", "0", limit_bytes=1)
        assert (await store.get("/a")).value == b"1"

    with_store(scenario)


def test_an_empty_range_of_a_snapshot_has_no_records(with_store):
    async def scenario(store):
        await store.commit([Change("/a", b"1")])
        snapshot = await store.snapshot()
        assert await snapshot.scan("/b", "/a", limit_bytes=10) == []
        assert await snapshot.scan("/b", "/c", limit_bytes=10) == []
        await snapshot.close()

    with_store(scenario)


def test_a_snapshot_is_of_the_generation_in_force():
    asyncio.run(of_the_generation_in_force())


async def of_the_generation_in_force():
    store = MemoryStore()
    await store.commit([Change(POINTER, b"7"), Change("/7/key/a", b"1"), Change("/8/key/b", b"2")])
    generation = await GenerationStore.open(store)
    snapshot = await generation.snapshot()
    assert [record.path for record in await contents(snapshot)] == ["/key/a"]
    assert (await snapshot.get("/key/a")).value == b"1"
    await snapshot.close()
    await store.commit([Change(POINTER, b"8")])
    with pytest.raises(StaleRevision, match="come into force"):
        await generation.snapshot()


# --- SQLite ---


def with_sqlite(tmp_path, scenario):
    async def main():
        path = tmp_path / "keystead.db"
        store = SqliteStore(path)
        try:
            await store.commit([Change("/a", b"1")])
            await scenario(store, path.with_name(path.name + "-wal"))
        finally:
            await store.close()
        assert not path.with_name(path.name + "-wal").exists()

    asyncio.run(main())


def test_a_snapshot_ends_when_it_has_made_the_log_too_long(tmp_path, monkeypatch):
    async def scenario(store, log):
        await store.commit([Change("/b", b"1")])
        room = log.stat().st_size
        monkeypatch.setattr(sqlite_file, "MOST_LOG_BYTES", room)
        snapshot = await store.snapshot()
        while log.stat().st_size <= room:
            await store.commit([Change("/b", bytes(2**20))])
        assert (await snapshot.get("/b")).value == b"1"
        await store.commit([Change("/b", b"2")])
        with pytest.raises(SnapshotUnavailable, match="too much has changed"):
            await snapshot.get("/b")
        assert (await store.get("/b")).value == b"2"

    with_sqlite(tmp_path, scenario)


def test_a_snapshot_ends_before_it_keeps_a_full_disk_from_taking_changes(tmp_path, monkeypatch):
    def allocate(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario(store, _log):
        snapshot = await store.snapshot()
        await store.commit([Change("/b", b"1")])
        assert (await snapshot.get("/a")).value == b"1"
        monkeypatch.setattr(os, "posix_fallocate", allocate)  # It would fill the disk of others.
        monkeypatch.setattr(sqlite_file, "LOG_BYTES", 2**62)
        monkeypatch.setattr(sqlite_file, "_PARTS_OF_SMALL_DISK", 1)
        await store.commit([Change("/b", None)])
        with pytest.raises(SnapshotUnavailable, match="disk is full"):
            await snapshot.scan("/", "0", limit_bytes=1)

    with_sqlite(tmp_path, scenario)


def test_a_snapshot_ends_when_nobody_can_say_how_long_the_log_is(tmp_path, monkeypatch):
    async def scenario(store, log):
        snapshot = await store.snapshot()
        assert not sqlite_file.must_cut_log(log.with_name("keystead.db"))
        assert sqlite_file.must_cut_log(log.with_name("elsewhere.db"))
        monkeypatch.setattr(sqlite_file, "must_cut_log", lambda _: True)
        await store.commit([Change("/b", b"1")])
        with pytest.raises(SnapshotUnavailable):
            await snapshot.get("/a")

    with_sqlite(tmp_path, scenario)


def test_a_snapshot_of_a_store_that_is_closed_shows_nothing(tmp_path):
    taken = []

    async def scenario(store, _log):
        taken.append(await store.snapshot())

    with_sqlite(tmp_path, scenario)
    with pytest.raises(SnapshotUnavailable):
        asyncio.run(taken[0].get("/a"))


def test_a_snapshot_of_a_damaged_database_is_refused(tmp_path):
    async def scenario(store, log):
        database = log.with_name("keystead.db")
        snapshot = await store.snapshot()
        snapshot._reader.close()  # noqa: SLF001 - there is no other way to break it alone
        with pytest.raises(StoreUnavailable):
            await snapshot.get("/a")
        with pytest.raises(StoreUnavailable):
            await snapshot.scan("/", "0", limit_bytes=1)
        await snapshot.close()
        hidden = database.with_name("hidden")
        database.rename(hidden)
        database.mkdir()
        with pytest.raises(StoreUnavailable):
            await store.snapshot()
        database.rmdir()
        hidden.rename(database)

    with_sqlite(tmp_path, scenario)


# --- etcd ---


@needs_etcd
def test_a_snapshot_ends_when_etcd_has_forgotten_its_revision(etcd_member):
    async def scenario():
        client = PatientClient(str(etcd_member.socket))
        store = EtcdStore(client, device="snapshots")
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            for number in NUMBERS:
                await store.commit([Change(f"/forgotten/{number}", VALUE)])
            snapshot = await store.snapshot()
            end = "/forgotten0"
            page = await snapshot.scan("/forgotten/", end, limit_bytes=PAGE_BYTES)
            revision = await store.commit([Change("/forgotten/100", b"changed")])
            await client.call(etcd_calls.COMPACT, etcd_calls.CompactionRequest(revision))
            with pytest.raises(SnapshotUnavailable, match="etcd has forgotten"):
                await snapshot.get("/forgotten/100")
            with pytest.raises(SnapshotUnavailable, match="etcd has forgotten"):
                await snapshot.scan("/forgotten/", end, limit_bytes=PAGE_BYTES)
            assert page[0].path == "/forgotten/100"
            assert (await store.get("/forgotten/100")).value == b"changed"

    asyncio.run(scenario())


# --- over a connection ---


def test_there_are_only_so_many_snapshots_at_a_time(with_store):
    async def scenario(store):
        if not isinstance(store, RemoteStore):
            return
        taken = [await store.snapshot() for _ in range(MOST_SNAPSHOTS)]
        with pytest.raises(SnapshotUnavailable, match="Too many"):
            await store.snapshot()
        await taken.pop().close()
        taken.append(await store.snapshot())
        for snapshot in taken:
            await snapshot.close()

    with_store(scenario)


class Scripted:
    """Calls that are answered in turn."""

    def __init__(self, *replies):
        self._replies = list(replies)

    def next_id(self):
        return 7

    async def ask(self, _message, /):
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def test_a_snapshot_of_a_store_that_is_gone_is_closed_all_the_same():
    async def scenario():
        snapshot = await RemoteStore(
            Scripted(SnapshotKept(7, 1), ConnectionEnded("gone"))
        ).snapshot()
        await snapshot.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("reply", [ConnectionEnded("gone"), Committed(7, 1)])
def test_a_store_that_is_gone_or_talks_nonsense_has_no_snapshot(reply):
    with pytest.raises(StoreUnavailable):
        asyncio.run(RemoteStore(Scripted(reply)).snapshot())
