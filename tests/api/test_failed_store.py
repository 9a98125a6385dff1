"""A store that does not answer: 503, Failed, and back by itself."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from keystead.errors import StoreUnavailable, WriteRefused, WrongState
from keystead.operations import recovery
from keystead.storage.key_value_store import Change, Check, StoredValue
from tests.support.core import ADMIN, UNLOCK, Core, Credentials, b64, start_core
from tests.support.memory_store import MemoryStore

SIGN = {"mode": "ECDSA", "message": b64(bytes(32))}


class FlakyStore(MemoryStore):
    """A store in memory that is out of reach when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reads_fail = False
        self.writes_fail = False

    async def get(self, path: str) -> StoredValue | None:
        if self.reads_fail:
            raise StoreUnavailable("The store does not answer.")
        return await super().get(path)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        if self.writes_fail:
            raise WriteRefused("The disk is full.")
        return await super().commit(changes, checks=checks)


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore()


@pytest.fixture
def flaky(
    runner: asyncio.Runner, store: FlakyStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Core]:
    """A core of this test's own, Operational, that looks for its store often."""
    monkeypatch.setattr(recovery, "STORE_RETRY_SECONDS", 0.01)
    core = runner.run(start_core(store=store))
    runner.run(core.provision())
    yield core
    runner.run(core.hsm.stop())
    core.close()


async def state(core: Core) -> str:
    return (await core.request("GET", "/health/state")).json()["state"]


async def until(core: Core, wanted: str) -> None:
    async with asyncio.timeout(5):
        while await state(core) != wanted:  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.01)


async def test_a_write_that_fails_is_503_and_not_acknowledged(
    flaky: Core, store: FlakyStore
) -> None:
    store.writes_fail = True
    wanted = {"id": "key", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    answer = await flaky.request("POST", "/keys/generate", user=ADMIN, json=wanted)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.message
    store.writes_fail = False
    await until(flaky, "Operational")
    assert (await flaky.request("GET", "/keys", user=ADMIN)).json() == []


async def test_while_the_store_is_away_the_hsm_is_failed_and_comes_back_by_itself(
    flaky: Core, store: FlakyStore
) -> None:
    await flaky.generate("key", "EC_P256", "ECDSA_Signature")
    store.reads_fail = True
    assert (await flaky.request("GET", "/keys/other", user=ADMIN)).status == 503
    assert await state(flaky) == "Failed"
    for path in ("/health/alive", "/health/ready", "/keys", "/users", "/config/time"):
        assert (await flaky.request("GET", path, user=ADMIN)).status == 412
    await asyncio.sleep(0.05)
    assert await state(flaky) == "Failed"
    store.reads_fail = False
    await until(flaky, "Operational")
    assert (await flaky.request("GET", "/keys/key", user=ADMIN)).status == 200


async def test_locked_it_comes_back_locked(flaky: Core, store: FlakyStore) -> None:
    await flaky.request("POST", "/lock", user=ADMIN)
    store.reads_fail = True
    assert (await flaky.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 503
    assert await state(flaky) == "Failed"
    store.reads_fail = False
    await until(flaky, "Locked")
    assert (await flaky.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204


async def test_it_fails_and_comes_back_as_often_as_need_be(flaky: Core, store: FlakyStore) -> None:
    for _ in range(3):
        store.reads_fail = True
        assert (await flaky.request("GET", "/keys/other", user=ADMIN)).status == 503
        store.reads_fail = False
        await until(flaky, "Operational")


async def test_a_namespace_whose_deletion_failed_is_as_it_was(
    flaky: Core, store: FlakyStore
) -> None:
    administrator: Credentials = await flaky.add_namespace("ns")
    await flaky.generate("key", "EC_P256", "ECDSA_Signature", by=administrator)
    store.writes_fail = True
    assert (await flaky.request("DELETE", "/namespaces/ns", user=ADMIN)).status == 503
    store.writes_fail = False
    await until(flaky, "Operational")
    listed = await flaky.request("GET", "/keys", user=administrator)
    assert (listed.status, listed.json()) == (200, [{"id": "key"}])
    assert (await flaky.request("DELETE", "/namespaces/ns", user=ADMIN)).status == 204


async def test_counts_that_could_not_be_written_are_written_later(
    flaky: Core, store: FlakyStore
) -> None:
    operator = await flaky.add_user("operator", "Operator")
    await flaky.generate("key", "EC_P256", "ECDSA_Signature")
    assert (await flaky.request("POST", "/keys/key/sign", user=operator, json=SIGN)).status == 200
    session = flaky.hsm.session
    assert session is not None
    store.writes_fail = True
    with pytest.raises(WriteRefused):
        await session.flush_counters()
    store.writes_fail = False
    await session.flush_counters()
    restarted = await flaky.restarted()
    await restarted.request("POST", "/unlock", json={"passphrase": UNLOCK})
    shown = (await restarted.request("GET", "/keys/key", user=ADMIN)).json()
    assert shown["operations"] == 1


async def test_lock_succeeds_without_the_store_and_loses_counts_only(
    flaky: Core, store: FlakyStore
) -> None:
    operator = await flaky.add_user("operator", "Operator")
    await flaky.generate("key", "EC_P256", "ECDSA_Signature")
    await flaky.request("POST", "/keys/key/sign", user=operator, json=SIGN)
    await flaky.request("GET", "/users", user=ADMIN)
    store.writes_fail = True
    assert (await flaky.request("POST", "/lock", user=ADMIN)).status == 204
    assert await state(flaky) == "Locked"
    assert flaky.hsm.session is None


async def test_unlocking_while_the_store_goes_away_leaves_it_failed_not_half_open(
    flaky: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The unlock must end before the store is back: after that, it may succeed.
    monkeypatch.setattr(recovery, "STORE_RETRY_SECONDS", 2)
    await flaky.request("POST", "/lock", user=ADMIN)
    unlocking = asyncio.create_task(flaky.request("POST", "/unlock", json={"passphrase": UNLOCK}))
    await asyncio.sleep(0)
    flaky.hsm.recovery.store_lost()
    assert (await unlocking).status == 412
    assert flaky.hsm.session is None
    with pytest.raises(WrongState):
        await flaky.hsm.audit.public_pem()
    await until(flaky, "Locked")
    assert (await flaky.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204
