"""A root that a program with the device key has forged, as if a restore had made it.

The key of a restore's root is a setting of the device until the next unlock. Whoever has the device
key, as a captured platform has, can make one, and with it a root of any records that were sealed
once. The journal tells the two apart: only the domain key opens it.
"""

import os
from typing import Any

import pytest

from keystead.model.secret import Secret
from keystead.storage.generations import POINTER
from keystead.storage.local import LocalStore
from keystead.storage.settings import RESTORED_VERSIONS
from keystead.storage.versions import Versions
from tests.api.test_put_back import Contents, contents, holding, put, said, unlocked
from tests.support.backups import furnished, make, restore, started, unlock
from tests.support.core import ADMIN, UNLOCK, Core, start_core
from tests.support.rollback import acknowledge
from tests.support.stores import WatchedStore

EVENT = "the journal knows of no restore that has made these records"


async def forged(core: Core, records: Contents, generation: int) -> Contents:
    """Return the records as another generation, with a root that anyone could have made."""
    present = {path: value for path, value in records.items() if not path.startswith("/0/")}
    moved = {
        f"/{generation}/{path.removeprefix('/0/')}": value
        for path, value in records.items()
        if path.startswith("/0/") and not path.startswith("/0/root")
    }
    store = await holding({**present, **moved, POINTER: b"%d" % generation})
    key = os.urandom(32)
    own = LocalStore(store, core.device_key).settings
    await store.commit([own.put(RESTORED_VERSIONS, Secret(key))])
    async for changes in Versions(store, generation, Secret(key)).made():
        await store.commit(changes)
    return await contents(store)


@pytest.fixture(scope="module")
def history(runner: Any) -> tuple[Core, Contents]:
    """A core, and its store with a user that was deleted and put back."""

    async def made() -> tuple[Core, Contents]:
        core = await start_core()
        await core.provision()
        await core.add_user("leaver", "Operator")
        await core.hsm.stop()
        older = await contents(core.store)
        core = await core.restarted()
        assert await unlock(core) == 204
        assert (await core.request("DELETE", "/users/leaver", user=ADMIN)).status == 204
        await core.hsm.stop()
        path = "/0/authentication/leaver"
        return core, {**await contents(core.store), path: older[path]}

    return runner.run(made())


@pytest.mark.parametrize("generation", [0, 1])
async def test_older_records_that_look_restored_are_noticed(
    history: tuple[Core, Contents], generation: int
) -> None:
    core, mixed = history
    records = await forged(core, mixed, generation)
    other, status = await unlocked(core, records)
    assert (status, said(other, EVENT)) == (409, True)
    assert await contents(other.store) == records
    assert await acknowledge(other) == 204
    journal = (await other.request("GET", "/journal", user=ADMIN)).body
    assert b"the journal knows of no restore" in journal


async def test_the_first_refusal_names_all_that_is_wrong_and_changes_nothing(
    history: tuple[Core, Contents],
) -> None:
    core, mixed = history
    records = await forged(core, mixed, 1)
    (path,) = (path for path in records if path.endswith("/config/time-offset"))
    del records[path]
    other, _ = await unlocked(core, records)
    answer = await other.request("POST", "/unlock", json={"passphrase": UNLOCK})
    for part in ("the journal knows of no restore", "written last: time-offset."):
        assert part in answer.message
    assert await contents(other.store) == records
    assert await acknowledge(other) == 204


@pytest.mark.parametrize("missing", ["/journal/head", "/journal/block/"])
async def test_a_journal_that_was_cut_short_proves_no_restore(
    history: tuple[Core, Contents], missing: str
) -> None:
    core, mixed = history
    records = await forged(core, mixed, 1)
    left = {path: value for path, value in records.items() if not path.startswith(missing)}
    other, status = await unlocked(core, left)
    assert (status, said(other, EVENT)) == (409, True)


async def test_a_damaged_journal_proves_no_restore(history: tuple[Core, Contents]) -> None:
    core, mixed = history
    records = await forged(core, mixed, 1)
    other, status = await unlocked(core, {**records, "/journal/head": bytes(64)})
    assert (status, said(other, EVENT)) == (409, True)


async def replaced() -> tuple[Core, Contents]:
    """Return a core whose records were replaced by those of another HSM, and its store."""
    _, file = await another()
    target, _, _ = await furnished()
    assert (await restore(target, file, ADMIN)).status == 204
    return target, await contents(target.store)


async def another() -> tuple[Core, bytes]:
    core, backup, _ = await furnished()
    return core, await make(core, backup)


async def test_a_restore_of_another_domain_key_is_proven_by_the_journal_once() -> None:
    target, records = await replaced()
    other, status = await unlocked(target, records)
    assert (status, said(other, EVENT)) == (204, False)
    await other.hsm.stop()
    later = await contents(other.store)
    own = LocalStore(other.store, target.device_key).settings
    mark = own.put(RESTORED_VERSIONS, Secret(os.urandom(32)))
    await put(other.store, {mark.path: mark.value})
    again, status = await unlocked(target, await contents(other.store))
    assert (status, said(again, EVENT)) == (409, True)
    again, status = await unlocked(target, later)
    assert status == 204
    target.close()


async def test_entries_after_an_earlier_restore_cannot_be_taken_out() -> None:
    target, records = await replaced()
    before = {path for path in records if path.startswith("/journal/block/")}
    other, status = await unlocked(target, records)
    assert status == 204
    await other.hsm.audit.tick()
    await other.add_user("later", "Operator")
    await other.hsm.stop()
    own = LocalStore(other.store, target.device_key).settings
    mark = own.put(RESTORED_VERSIONS, Secret(os.urandom(32)))
    present = {**await contents(other.store), mark.path: mark.value or b""}
    after = sorted(path for path in present if path.startswith("/journal/block/"))
    opening, *_, last = (path for path in after if path not in before)
    assert opening != last
    kept = {path: value for path, value in present.items() if path in before or path == last}
    rest = {path: value for path, value in present.items() if path not in after}
    again, status = await unlocked(target, {**rest, **kept})
    assert (status, said(again, EVENT)) == (409, True)
    target.close()


async def test_a_restore_onto_an_empty_hsm_needs_no_journal() -> None:
    _, file = await another()
    target = await started()
    assert (await restore(target, file)).status == 204
    other, status = await unlocked(target, await contents(target.store))
    assert (status, said(other, EVENT)) == (204, False)
    target.close()


async def test_a_crash_right_after_a_restore_leaves_its_proof() -> None:
    store = WatchedStore()
    _, file = await another()
    target, _, _ = await furnished(store=store)
    at_switch: list[Contents] = []

    async def keep() -> None:
        found = await store.get(POINTER)
        if found is not None and found.value == b"1" and not at_switch:
            at_switch.append(await contents(store))

    store.before_commit = keep
    assert (await restore(target, file, ADMIN)).status == 204
    store.before_commit = lambda: None
    other, status = await unlocked(target, at_switch[0])
    assert (status, said(other, EVENT)) == (204, False)
    target.close()
