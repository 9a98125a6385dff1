"""A whole store put back: what is kept elsewhere tells it from the present one."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from keystead.errors import StoreUnavailable, WriteRefused
from keystead.storage.key_value_store import Change, Check, StoredValue
from keystead.storage.paths import KNOWN_COUNT, KNOWN_HEAD
from keystead.storage.wrapped import WrappedStore
from tests.support.backups import furnished, make, restore
from tests.support.core import ADMIN, UNLOCK, Core, start_core
from tests.support.memory_store import MemoryStore
from tests.support.rollback import acknowledge, code_of

OLDER = "the store is older than the journal's head elsewhere"


class Place:
    """What the second place keeps."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.count = 7
        self.error: Exception | None = None


class StoreWithPlace(WrappedStore):
    """A store in memory whose second place survives when the store is put back."""

    def __init__(self, place: Place, records: MemoryStore | None = None) -> None:
        self.records = records or MemoryStore()
        self.place = place
        super().__init__(self.records)

    async def get(self, path: str) -> StoredValue | None:
        if path not in {KNOWN_HEAD, KNOWN_COUNT}:
            return await super().get(path)
        if isinstance(self.place.error, StoreUnavailable):
            raise self.place.error
        if path == KNOWN_COUNT:
            return StoredValue(b"%d" % self.place.count, 1)
        return None if self.place.content is None else StoredValue(self.place.content, 1)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        if not changes or changes[0].path not in {KNOWN_HEAD, KNOWN_COUNT}:
            return await self.records.commit(changes, checks=checks)
        if self.place.error is not None:
            raise self.place.error
        if changes[0].path == KNOWN_COUNT:
            self.place.count += 1
            return 1
        self.place.content = changes[0].value
        return 1

    async def copy(self) -> "StoreWithPlace":
        """Return a copy of the records, with the same second place."""
        copied = MemoryStore()
        await become(copied, await contents(self.records))
        return StoreWithPlace(self.place, copied)


async def contents(records: MemoryStore) -> dict[str, bytes]:
    """Return everything in a store."""
    page = await records.scan("", "\U0010ffff", limit_bytes=10**9)
    return {path: entry.value for path, entry in page}


async def become(records: MemoryStore, wanted: Mapping[str, bytes]) -> None:
    """Have a store hold what is wanted, and nothing else."""
    present = await contents(records)
    await records.commit([Change(path, wanted.get(path)) for path in {*present, *wanted}])


async def provisioned(place: Place | None = None) -> Core:
    core = await start_core(store=StoreWithPlace(place or Place()), keeps_head=True)
    await core.provision()
    return core


async def started_on(
    store: StoreWithPlace, core: Core, *, keeps_head: bool = True, keeps_count: bool = False
) -> Core:
    return await start_core(
        store=store,
        device_key=core.device_key,
        pools=core.pools,
        clock=core.clock,
        unattended_key=core.unattended_key,
        keeps_head=keeps_head,
        keeps_count=keeps_count,
    )


def store_of(core: Core) -> StoreWithPlace:
    assert isinstance(core.store, StoreWithPlace)
    return core.store


async def unlock(core: Core, **more: str) -> int:
    return (await core.request("POST", "/unlock", json={"passphrase": UNLOCK, **more})).status


def said(core: Core, event: str) -> bool:
    return any(event in line for line in core.log_lines)


async def rolled_back() -> Core:
    """Return a core on a store that was put back, after a user was deleted."""
    core = await provisioned()
    await core.add_user("victim", "Operator")
    await core.hsm.stop()
    old = await store_of(core).copy()
    core = await core_again(core)
    await core.request("DELETE", "/users/victim", user=ADMIN)
    await core.hsm.stop()
    return await started_on(old, core)


async def core_again(core: Core) -> Core:
    again = await started_on(store_of(core), core)
    assert await unlock(again) == 204
    return again


async def test_an_older_store_stays_locked_until_someone_acknowledges_it() -> None:
    core = await rolled_back()
    answer = await core.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert answer.status == 409
    assert "acknowledgeRollback" in answer.message
    assert said(core, OLDER)
    assert (await core.request("GET", "/health/state")).json() == {"state": "Locked"}
    code = answer.json()["acknowledgeRollback"]
    wrong = {"passphrase": "another passphrase", "acknowledgeRollback": code}
    assert (await core.request("POST", "/unlock", json=wrong)).status == 403
    core.clock.advance(2)
    assert await acknowledge(core) == 204
    exported = (await core.request("GET", "/journal", user=ADMIN)).body
    assert b'"rollback acknowledged"' in exported
    core.close()


async def test_after_the_acknowledgement_the_second_place_knows_this_store() -> None:
    core = await rolled_back()
    assert await acknowledge(core) == 204
    await core.hsm.stop()
    assert await unlock(await started_on(store_of(core), core)) == 204
    core.close()


async def test_the_store_as_it_was_last_opens_also_after_a_crash() -> None:
    core = await provisioned()
    await core.add_user("user", "Operator")
    await core.request("GET", "/journal/head", user=ADMIN)
    await core.add_user("another", "Operator")
    again = await core_again(core)
    assert not said(again, OLDER)
    core.close()


async def test_an_older_store_that_went_on_has_another_entry() -> None:
    core = await provisioned()
    await core.hsm.stop()
    old = await store_of(core).copy()
    core = await core_again(core)
    await core.request("DELETE", "/journal?upto=1", user=ADMIN)
    await core.hsm.stop()
    kept = store_of(core).place.content
    other = await started_on(old, core)
    assert await acknowledge(other) == 204
    for number in range(5):
        await other.add_user(f"u{number}", "Operator")
    await other.hsm.stop()
    store_of(other).place.content = kept
    last = await started_on(store_of(other), core)
    answer = await last.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert (answer.status, "is another one" in answer.message) == (409, True), answer
    core.close()


async def test_a_store_without_its_journal_is_refused() -> None:
    core = await provisioned()
    await core.hsm.stop()
    store = store_of(core)
    paths = await store.list("/journal/", "/journal0", limit=1000)
    await store.commit([Change(path, None) for path in paths])
    again = await started_on(store, core)
    answer = await again.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert (answer.status, "no journal" in answer.message) == (409, True)
    core.close()


async def test_unattended_boot_stays_locked_on_an_older_store() -> None:
    core = await provisioned()
    await core.request("PUT", "/config/unattended-boot", user=ADMIN, json={"status": "on"})
    await core.request("GET", "/journal/head", user=ADMIN)
    old = await store_of(core).copy()
    await core.add_user("user", "Operator")
    await core.hsm.stop()
    assert (await started_on(store_of(core), core)).hsm.is_operational
    again = await started_on(old, core)
    assert (await again.request("GET", "/health/state")).json() == {"state": "Locked"}
    assert said(again, OLDER)
    core.close()


async def test_a_second_place_that_cannot_be_written_stops_nothing_and_is_logged() -> None:
    place = Place()
    core = await provisioned(place)
    place.error = WriteRefused("the other disk is full")
    await core.add_user("user", "Operator")
    assert (await core.request("GET", "/journal/head", user=ADMIN)).status == 200
    await core.hsm.known_head.settle()
    assert said(core, "the journal's head cannot be kept elsewhere")
    core.close()


async def test_a_second_place_that_cannot_be_read_or_is_damaged_needs_an_acknowledgement() -> None:
    place = Place()
    core = await provisioned(place)
    await core.hsm.stop()
    kept = place.content
    for content, error in ((kept, StoreUnavailable("gone")), (b"noise", None), (b"", None)):
        place.content, place.error = content, error
        again = await started_on(await store_of(core).copy(), core)
        code = await code_of(again)
        assert await unlock(again, acknowledgeRollback=code) == 204
    core.close()


async def test_a_second_place_that_is_empty_or_of_another_device_is_said_in_the_log() -> None:
    place = Place()
    await (await provisioned(place)).hsm.stop()
    core = await provisioned()
    await core.hsm.stop()
    for content, event in (
        (None, "no head of the journal is kept elsewhere yet"),
        (place.content, "the head of the journal that is kept elsewhere is of another device"),
    ):
        store_of(core).place.content = content
        again = await core_again(core)
        assert said(again, event)
        await again.hsm.stop()
        assert store_of(core).place.content not in {None, content}
    core.close()


async def test_entries_that_were_deleted_since_are_no_rollback() -> None:
    core = await provisioned()
    auditor = await core.add_user("auditor", "Auditor")
    for number in range(5):
        await core.add_user(f"u{number}", "Operator")
    head = (await core.request("GET", "/journal/head", user=ADMIN)).json()
    await core.hsm.known_head.settle()
    kept = store_of(core).place.content
    answer = await core.request("DELETE", f"/journal?upto={head['n']}", user=auditor)
    assert answer.status == 204
    await core.hsm.stop()
    store_of(core).place.content = kept
    again = await core_again(core)
    assert not said(again, OLDER)
    core.close()


async def test_a_restore_on_this_hsm_is_no_rollback() -> None:
    core, backup, _ = await furnished(store=StoreWithPlace(Place()), keeps_head=True)
    file = await make(core, backup)
    await core.add_user("user", "Operator")
    assert (await restore(core, file, ADMIN)).status == 204
    await core.hsm.stop()
    assert await unlock(await started_on(store_of(core), core)) == 204
    core.close()


@pytest.mark.parametrize("value", [1, True, None])
async def test_the_acknowledgement_is_a_text(value: object) -> None:
    core = await rolled_back()
    wanted = {"passphrase": UNLOCK, "acknowledgeRollback": value}
    assert (await core.request("POST", "/unlock", json=wanted)).status == 400
    core.close()


@pytest.mark.parametrize("code", ["", "true", "0" * 16])
async def test_a_code_that_nobody_was_shown_acknowledges_nothing(code: str) -> None:
    core = await rolled_back()
    assert await unlock(core, acknowledgeRollback=code) == 409
    assert await acknowledge(core) == 204
    core.close()


async def test_a_code_is_of_no_use_after_a_restart() -> None:
    core = await rolled_back()
    code = await code_of(core)
    again = await started_on(store_of(core), core)
    assert await unlock(again, acknowledgeRollback=code) == 409
    core.close()


async def test_nothing_is_written_before_the_acknowledgement() -> None:
    core = await rolled_back()
    before = await contents(store_of(core).records)
    code = await code_of(core)
    assert await contents(store_of(core).records) == before
    assert await unlock(core, acknowledgeRollback=code) == 204
    core.close()


async def test_the_code_acknowledges_what_was_shown_and_no_older_store() -> None:
    core = await provisioned()
    copies = []
    for name in ("first", "second"):
        copies.append(await store_of(core).copy())
        await core.add_user(name, "Operator")
        await core.hsm.stop()
        core = await core_again(core)
    await core.hsm.stop()
    oldest, older = copies
    again = await started_on(older, core)
    code = await code_of(again)
    await become(older.records, await contents(oldest.records))
    given = {"passphrase": UNLOCK, "acknowledgeRollback": code}
    answer = await again.request("POST", "/unlock", json=given)
    assert answer.status == 409
    assert "This is not what the code acknowledges." in answer.message
    core.close()


@pytest.mark.parametrize("change", ["users", "acknowledged", "restored"])
async def test_records_of_the_store_that_was_given_up_are_noticed_beside_the_present_journal(
    change: str,
) -> None:
    """They have a later root than the journal knows, as after a crash."""
    core, backup, _ = await furnished(store=StoreWithPlace(Place()), keeps_head=True)
    file = await make(core, backup)
    await core.hsm.stop()
    older = await store_of(core).copy()
    core = await core_again(core)
    given_up = store_of(core)
    if change == "restored":
        assert (await restore(core, file, ADMIN)).status == 204
    elif change == "acknowledged":
        await core.hsm.stop()
        given_up.place.content = b"noise"
        core = await started_on(given_up, core)
        assert await acknowledge(core) == 204
    for number in range(9):
        await core.add_user(f"u{number}", "Operator")
    await core.hsm.stop()

    core.clock.advance(60)
    core = await started_on(older, core)
    assert await acknowledge(core) == 204
    await core.hsm.stop()
    assert await unlock(await started_on(older, core)) == 204

    mixed = [
        (path, what)
        for records, is_journal in ((given_up.records, False), (older.records, True))
        for path, what in (await contents(records)).items()
        if path.startswith("/journal/") is is_journal
    ]
    await become(older.records, dict(mixed))
    again = await started_on(older, core)
    assert await unlock(again) == 409
    assert said(again, "the records are older than the journal")
    core.close()


async def test_a_restore_is_no_rollback_after_the_clock_was_set_back() -> None:
    core, backup, _ = await furnished(store=StoreWithPlace(Place()), keeps_head=True)
    file = await make(core, backup)
    for seconds in (0, 0, -3600):
        core.clock.advance(seconds)
        assert (await restore(core, file, ADMIN)).status == 204
        await core.hsm.audit.try_write()
    await core.hsm.stop()
    assert await unlock(await started_on(store_of(core), core)) == 204
    core.close()


async def test_a_place_that_hangs_delays_a_stop_by_seconds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keystead.operations.known_head.SETTLE_SECONDS", 0.01)
    core = await provisioned()
    await core.hsm.known_head.settle()
    core.hsm.known_head._writing = asyncio.create_task(asyncio.sleep(60))  # noqa: SLF001 - a disk that hangs
    await asyncio.wait_for(core.hsm.stop(), 30)
    core.hsm.known_head._writing.cancel()  # noqa: SLF001 - see above
    core.close()
