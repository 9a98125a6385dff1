"""What the SQLite backend promises beyond the contract: durability, bounds, its file."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import asynccontextmanager, closing

import pytest

from keystead.errors import StaleRevision, StoreUnavailable, UnsupportedFormat, WriteRefused
from keystead.storage.backends.sqlite import MAX_PENDING, SqliteStore
from keystead.storage.backends.sqlite_file import LOG_BYTES
from keystead.storage.key_value_store import MISSING, Change, StoredValue


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keystead.db"


@asynccontextmanager
async def opened(path):
    store = SqliteStore(path)
    try:
        yield store
    finally:
        await store.close()


def contents(directory):
    return {entry.name: entry.read_bytes() for entry in directory.iterdir()}


# --- the file ---


def test_records_are_there_after_a_restart(path):
    async def scenario():
        async with opened(path) as store:
            revision = await store.commit([Change("/a", b"1"), Change("/b", b"2")])
        async with opened(path) as store:
            assert await store.get("/a") == StoredValue(b"1", revision)
            assert await store.list("/", "0", limit=9) == ["/a", "/b"]

    asyncio.run(scenario())


def test_revisions_grow_over_restarts_even_if_the_last_record_was_deleted(path):
    async def scenario():
        async with opened(path) as store:
            await store.commit([Change("/a", b"1")])
            last = await store.commit([Change("/a", None)])
        async with opened(path) as store:
            assert await store.commit([Change("/a", b"1")]) > last

    asyncio.run(scenario())


def test_a_process_that_lives_on_beside_its_successor_does_no_harm(path):
    async def scenario():
        async with opened(path) as old, opened(path) as new:
            revisions = [
                await (old if n % 2 else new).commit([Change(f"/{n % 3}", b"%d" % n)])
                for n in range(10)
            ]
            assert revisions == sorted(set(revisions))
            with pytest.raises(StaleRevision):
                await old.commit([Change("/0", b"late", revisions[0])])
            assert await old.get("/0") == await new.get("/0") == StoredValue(b"9", revisions[-1])

    asyncio.run(scenario())


def test_only_the_owner_reads_the_files(path):
    async def scenario():
        async with opened(path) as store:
            await store.commit([Change("/a", b"1")])
            modes = {entry.name: entry.stat().st_mode for entry in path.parent.iterdir()}
            assert set(modes) == {"keystead.db", "keystead.db-wal", "keystead.db-shm"}
            assert {stat.S_IMODE(mode) for mode in modes.values()} == {0o600}

    before = os.umask(0)
    try:
        asyncio.run(scenario())
    finally:
        os.umask(before)


def test_a_clean_stop_leaves_one_file_and_room_for_the_next_start(path):
    async def scenario():
        async with opened(path) as store:
            await store.commit([Change("/a", b"1")])

    asyncio.run(scenario())
    left = contents(path.parent)
    assert left.keys() == {"keystead.db", "keystead.db-reserve"}
    assert len(left["keystead.db-reserve"]) == LOG_BYTES + 64 * 1024


def test_what_was_deleted_is_not_left_in_the_file(path):
    async def scenario():
        async with opened(path) as store:
            await store.commit([Change("/a", b"conspicuous" * 20)])
        assert b"conspicuous" in path.read_bytes()
        async with opened(path) as store:
            await store.commit([Change("/a", None)])
        assert b"conspicuous" not in path.read_bytes()

    asyncio.run(scenario())


def foreign_text(path):
    path.write_text("not a database, and important")


def foreign_database(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE album (title)")


def foreign_application(path):
    foreign_database(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 252006674")


def empty_file(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("make", [foreign_text, foreign_database, foreign_application, empty_file])
def test_a_file_that_is_not_ours_is_refused_untouched(path, make):
    make(path)
    before = contents(path.parent)
    with pytest.raises(UnsupportedFormat, match="is not a Keystead database"):
        SqliteStore(path)
    assert contents(path.parent) == before


def test_a_newer_format_is_refused_untouched(path):
    asyncio.run(fill(path, "/a"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
        connection.execute("PRAGMA journal_mode = DELETE")
    before = contents(path.parent)
    with pytest.raises(UnsupportedFormat, match="has format version 2; this software reads 1"):
        SqliteStore(path)
    assert contents(path.parent) == before


def test_a_newer_format_still_in_the_log_is_refused(path):
    asyncio.run(fill(path, "/a"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
        with pytest.raises(UnsupportedFormat, match="has format version 2"):
            SqliteStore(path)


async def fill(path, *paths):
    async with opened(path) as store:
        await store.commit([Change(record, b"value") for record in paths])


def test_an_unfinished_creation_is_done_again(path):
    path.with_name("keystead.db.new").write_text("half")
    asyncio.run(fill(path, "/a"))
    assert contents(path.parent).keys() == {"keystead.db", "keystead.db-reserve"}


def test_a_place_where_no_file_can_be_is_unavailable(tmp_path):
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqliteStore(tmp_path / "missing" / "keystead.db")


def test_a_damaged_database_is_unavailable_and_not_a_crash(path):
    asyncio.run(fill(path, *(f"/{number:04}" for number in range(1000))))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))

    async def scenario():
        async with opened(path) as store:
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="cannot be read"):
                    await store.get("/0500")
                with pytest.raises(WriteRefused, match="cannot be written"):
                    await store.commit([Change("/0500", b"new")])

    asyncio.run(scenario())


# --- the queue ---


def test_closing_finishes_what_was_accepted(path):
    async def scenario():
        store = SqliteStore(path)
        commits = [asyncio.ensure_future(store.commit([Change(f"/{n}", b"1")])) for n in range(50)]
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        await asyncio.gather(*commits)
        async with opened(path) as store:
            assert len(await store.list("/", "0", limit=100)) == 50

    asyncio.run(scenario())


def test_a_closed_store_is_unavailable(path):
    async def scenario():
        store = SqliteStore(path)
        await store.close()
        for _ in range(MAX_PENDING + 1):
            with pytest.raises(StoreUnavailable, match="closed"):
                await store.commit([Change("/a", b"1")])
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.get("/a")
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.list("/", "0", limit=1)

    asyncio.run(scenario())


def test_callers_that_give_up_leave_no_place_taken(path):
    async def scenario():
        async with opened(path) as store:
            impatient = [
                asyncio.ensure_future(store.commit([Change(f"/{n}", b"1")]))
                for n in range(2 * MAX_PENDING)
            ]
            await asyncio.sleep(0)
            for commit in impatient:
                commit.cancel()
            for n in range(2 * MAX_PENDING):
                if n % 64 == 0:
                    await store.commit([Change(f"/late{n}", b"2")])
            patient = (store.commit([Change(f"/x{n}", b"3")]) for n in range(2 * MAX_PENDING))
            await asyncio.gather(*patient)
            assert len(await store.list("/x", "/y", limit=10**4)) == 2 * MAX_PENDING

    asyncio.run(scenario())


def test_a_change_that_cannot_be_written_does_not_stop_the_writer(path):
    async def scenario():
        async with opened(path) as store:
            with pytest.raises(WriteRefused):
                await store.commit([Change("/\ud800", b"no such character")])
            await store.commit([Change("/a", b"1")])
            with pytest.raises(StaleRevision):
                await store.commit([Change("/a", b"1", MISSING)])

    asyncio.run(scenario())


def test_the_log_stays_bounded_under_load(path):
    async def scenario():
        async with opened(path) as store:
            log = path.with_name("keystead.db-wal")
            largest = 0
            for round_ in range(20):
                await asyncio.gather(
                    *(store.commit([Change(f"/{round_}/{n}", b"x" * 8000)]) for n in range(256))
                )
                assert await store.get(f"/{round_}/0") is not None
                largest = max(largest, log.stat().st_size)
            assert path.stat().st_size > 30 * 2**20
            assert largest == LOG_BYTES

    asyncio.run(scenario())


# --- a write that fails; `test_full_disk` has a disk that is full ---

LIMITED_FILE = """
import asyncio, resource, sys
from pathlib import Path
from keystead.errors import WriteRefused
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main(path):
    store = SqliteStore(path)
    first = await store.commit([Change("/kept", b"before")])
    limit(path.with_name(path.name + "-wal").stat().st_size)
    for _ in range(3):
        outcomes = await asyncio.gather(
            *(store.commit([Change(f"/lost/{n}", bytes(3 * 2**20))]) for n in range(10)),
            return_exceptions=True,
        )
        assert all(isinstance(outcome, WriteRefused) for outcome in outcomes), outcomes
        assert (await store.get("/kept")).value == b"before"
        assert await store.list("/lost", "/losu", limit=10) == []
    limit(resource.RLIM_INFINITY)
    second = await store.commit([Change("/kept", b"after", first)])
    assert second > first
    await asyncio.gather(*(store.commit([Change(f"/new/{n}", b"x" * 5000)]) for n in range(10)))
    await store.close()
    store = SqliteStore(path)
    assert (await store.get("/kept")).value == b"after"
    assert len(await store.list("/new", "/nex", limit=100)) == 10
    assert await store.list("/lost", "/losu", limit=10) == []
    await store.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_file_at_its_limit_refuses_commits_and_takes_them_again_without_one(path):
    done = subprocess.run(  # noqa: S603  our own interpreter and script
        [sys.executable, "-c", LIMITED_FILE, str(path)],
        capture_output=True,
        timeout=30,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
