"""The file on another disk that keeps the journal's head."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keystead.errors import StartRefused, StoreUnavailable, WriteRefused
from keystead.processes.platform.second_place import SecondPlace
from keystead.storage.key_value_store import Change
from keystead.storage.paths import KNOWN_HEAD
from tests.support.memory_store import MemoryStore


def run(path: Path, scenario: Callable[[SecondPlace], Awaitable[None]]) -> None:
    async def main() -> None:
        store = SecondPlace(MemoryStore(), path)
        try:
            await scenario(store)
        finally:
            store.close()

    asyncio.run(main())


def test_the_head_is_in_the_file_and_everything_else_in_the_store(tmp_path: Path):
    path = tmp_path / "keystead.head"

    async def scenario(store: SecondPlace) -> None:
        assert await store.get(KNOWN_HEAD) is None
        for content in (b"first", b"second"):
            await store.commit([Change(KNOWN_HEAD, content)])
            found = await store.get(KNOWN_HEAD)
            assert found is not None
            assert found.value == path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await store.commit([Change("/key/a", b"a")])
        assert await store.list("/", "0", limit=9) == ["/key/a"]
        assert (await store.get("/key/a")) is not None

    run(path, scenario)
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_gone_refuses_the_write_and_not_the_store(tmp_path: Path):
    directory = tmp_path / "other disk"
    directory.mkdir()

    async def scenario(store: SecondPlace) -> None:
        directory.rmdir()
        with pytest.raises(WriteRefused, match="No such file"):
            await store.commit([Change(KNOWN_HEAD, b"head")])
        await store.commit([Change("/key/a", b"a")])

    run(directory / "keystead.head", scenario)


def test_a_link_or_a_directory_in_its_place_is_not_read(tmp_path: Path):
    path = tmp_path / "keystead.head"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartRefused, match="head"):
        SecondPlace(MemoryStore(), path)
    path.unlink()

    async def scenario(store: SecondPlace) -> None:
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreUnavailable):
            await store.get(KNOWN_HEAD)

    run(path, scenario)


def test_a_long_file_is_read_in_part(tmp_path: Path):
    path = tmp_path / "keystead.head"
    path.write_bytes(bytes(100_000))

    async def scenario(store: SecondPlace) -> None:
        found = await store.get(KNOWN_HEAD)
        assert found is not None
        assert len(found.value) == 4096

    run(path, scenario)
