"""The SQLite store on a disk that is full: it adds nothing, and deletes and replaces on."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keystead.errors import WriteRefused
from keystead.storage.backends import sqlite_writer
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change
from keystead.storage.sealed_records import remove_range
from tests.support.small_disk import fill, small_disk

RECORD = bytes(2000)
LARGE = bytes(2 * 2**20)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, mebibytes=64) as mount:
        yield mount


@asynccontextmanager
async def opened(disk: Path):
    store = SqliteStore(disk / "keystead.db")
    try:
        yield store
    finally:
        await store.close()


async def put(store: SqliteStore, *paths: str, value: bytes = RECORD) -> None:
    await store.commit([Change(path, value) for path in paths])


async def is_refused(store: SqliteStore, *changes: Change) -> bool:
    try:
        await store.commit(changes)
    except WriteRefused as error:
        return error.message.startswith("The disk is full.")
    return False


def test_nothing_is_added_and_deleting_and_replacing_goes_on_without_end(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            await put(store, *(f"/{n:04}" for n in range(2500)))
            await asyncio.sleep(2 * sqlite_writer._QUIET_SECONDS)  # noqa: SLF001  until it is copied
            fill(disk)
            for n in range(2000):
                assert not await is_refused(
                    store, Change(f"/{n:04}", bytes([n % 256]) * len(RECORD))
                )
                assert not await is_refused(store, Change(f"/{n:04}", None))
            assert await is_refused(store, Change("/new", RECORD))
            assert await store.get("/new") is None
            assert len(await store.list("/", "0", limit=9999)) == 500

    asyncio.run(scenario())


def test_what_was_just_added_leaves_room_for_hundreds_of_deletions(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            await put(store, *(f"/{n:04}" for n in range(500)))
            fill(disk)
            for n in range(300):
                assert not await is_refused(store, Change(f"/{n:04}", None))

    asyncio.run(scenario())


def test_a_commit_of_nothing_tells_whether_there_is_room_to_add(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            await put(store, "/a")
            fill(disk)
            assert await is_refused(store)
            with (disk / "fill").open("r+b") as file:
                file.truncate(file.seek(0, 2) - 2**20)
            assert await is_refused(store), "a MiB is no room"
            (disk / "fill").unlink()
            assert not await is_refused(store)
            assert not await is_refused(store, Change("/b", RECORD))

    asyncio.run(scenario())


def test_a_move_is_no_addition(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            await put(store, "/a")
            fill(disk)
            assert not await is_refused(store, Change("/a", None), Change("/moved", RECORD))

    asyncio.run(scenario())


def test_a_large_commit_does_not_refuse_the_small_ones_of_its_group(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            huge = bytes(80 * 2**20)
            sizes = [RECORD, huge, RECORD, huge]
            refused = await asyncio.gather(
                *(is_refused(store, Change(f"/{n}", value)) for n, value in enumerate(sizes))
            )
            assert refused == [False, True, False, True]
            assert await store.list("/", "0", limit=9) == ["/0", "/2"]

    asyncio.run(scenario())


def test_a_range_that_is_too_large_for_one_commit_is_removed_in_several(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            for n in range(12):
                await put(store, f"/{n:02}", value=LARGE)
            fill(disk)
            with pytest.raises(WriteRefused):
                await store.commit([Change(f"/{n:02}", None) for n in range(12)])
            assert await remove_range(store, "/", "0") == 12

    asyncio.run(scenario())


def test_a_start_on_a_full_disk_keeps_the_room_for_deletions(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            await put(store, "/a", "/b")
        fill(disk)
        async with opened(disk) as store:
            await asyncio.sleep(0.1)
            fill(disk)
            assert not await is_refused(store, Change("/a", None))
            assert await is_refused(store, Change("/c", RECORD))

    asyncio.run(scenario())


def test_a_start_after_a_crash_on_a_full_disk_keeps_it_too(disk: Path) -> None:
    async def scenario() -> None:
        async with opened(disk) as store:
            await put(store, "/a", "/b")
            for name in ("keystead.db", "keystead.db-wal", "keystead.db-shm"):
                copy = disk / "crashed" / name
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes((disk / name).read_bytes())
        (disk / "keystead.db-reserve").unlink()
        fill(disk)
        async with opened(disk / "crashed") as store:
            await asyncio.sleep(0.1)
            fill(disk)
            assert not await is_refused(store, Change("/a", None))
            assert await is_refused(store, Change("/c", RECORD))

    asyncio.run(scenario())


def test_a_disk_of_few_mebibytes_has_a_store_with_a_small_reserve(tmp_path: Path) -> None:
    async def scenario(disk: Path) -> None:
        async with opened(disk) as store:
            await put(store, "/key/a", "/key/b")
            fill(disk)
            assert await is_refused(store, Change("/key/c", RECORD))
            await put(store, "/key/a", value=bytes(1000))
            await store.commit([Change("/key/b", None)])
        async with opened(disk) as store:
            assert await store.list("/key/", "/key0", limit=9) == ["/key/a"]

    with small_disk(tmp_path, mebibytes=3) as disk:
        asyncio.run(scenario(disk))
