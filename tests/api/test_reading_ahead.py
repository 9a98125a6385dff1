"""Lists with details read records ahead, and none in vain for a short list."""

import asyncio
import gc
from collections.abc import Iterator, Sequence

import pytest

from keystead.errors import CorruptRecord
from keystead.storage import key_lists
from keystead.storage.key_value_store import Record, StoredValue
from tests.support.core import ADMIN, Answer, Core, start_core
from tests.support.stores import WatchedStore

KEYS = [f"k{number}" for number in range(8)]
RECORD_BYTES = 200
"""Less than a record has, and more than half of that."""


class FailingStore(WatchedStore):
    """A store whose scans fail from some number on."""

    left = 10**6

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        found = await super().scan(start, stop, limit_bytes=limit_bytes)
        if not self.left:
            raise CorruptRecord("The records cannot be read.")
        self.left -= 1
        return found


@pytest.fixture(scope="module")
def store() -> FailingStore:
    return FailingStore()


@pytest.fixture(scope="module")
def core(runner: asyncio.Runner, store: FailingStore) -> Iterator[Core]:
    core = runner.run(start_core(store=store))

    async def fill() -> None:
        await core.provision()
        for key_id in KEYS:
            await core.generate(key_id, "Curve25519", "EdDSA_Signature")

    runner.run(fill())
    yield core
    core.close()


@pytest.fixture(autouse=True)
def a_record_a_page(monkeypatch: pytest.MonkeyPatch, store: FailingStore) -> None:
    monkeypatch.setattr(key_lists, "PAGE_BYTES", RECORD_BYTES)
    store.scans.clear()
    store.left = 10**6


async def listed(core: Core, query: str = "") -> Answer:
    return await core.request("GET", f"/keys?details=true{query}", user=ADMIN)


async def test_each_record_is_read_once(core: Core, store: FailingStore) -> None:
    answer = await listed(core)
    assert [item["id"] for item in answer.json()] == KEYS
    assert len(set(store.scans)) == len(store.scans) == len(KEYS) + 1


async def test_a_short_list_reads_what_it_shows(core: Core, store: FailingStore) -> None:
    assert [item["id"] for item in (await listed(core, "&limit=1")).json()] == KEYS[:1]
    assert len(store.scans) == 1


async def test_a_long_record_does_not_wait_in_memory(
    core: Core, store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_lists, "PAGE_BYTES", 1)
    assert [item["id"] for item in (await listed(core)).json()] == KEYS
    assert len(store.scans) > len(set(store.scans)) == len(KEYS) + 1


async def test_a_list_ends_when_the_store_fails_at_any_page(
    core: Core, store: FailingStore
) -> None:
    for count in range(len(KEYS) + 1):
        store.left = count
        assert (await listed(core)).status == 500
    store.left = 10**6
    assert (await listed(core)).status == 200
    gc.collect()  # An error that nobody has asked for is reported when its task is collected.


async def test_a_list_ends_at_a_record_that_does_not_open(core: Core, store: FailingStore) -> None:
    entries = store.kept._entries  # noqa: SLF001
    for path in [path for path in entries if path.endswith(tuple(f"/key/{one}" for one in KEYS))]:
        kept = entries[path]
        entries[path] = StoredValue(bytes(len(kept.value)), kept.revision)
        answer = await listed(core)
        assert answer.status == 500
        entries[path] = kept
    assert len((await listed(core)).json()) == len(KEYS)
