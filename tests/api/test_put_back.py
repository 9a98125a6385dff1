"""Records put back by a program that knows everything but the keys: none is taken for the present.

It may change the store in any way while the HSM is stopped or running. What opens at a path was
sealed there once, so it can only put back what was there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from keystead.errors import CorruptRecord
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.storage.key_value_store import Change
from tests.support.backups import furnished, make, restore, started, unlock
from tests.support.core import ADMIN, UNLOCK, Core, start_core
from tests.support.memory_store import MemoryStore
from tests.support.rollback import acknowledge

ROOT = "/0/root"
NEW_UNLOCK = "another unlock passphrase"
WRONG = "a record is not the one that was written last"
MISSING = "records are missing from the store"
OLDER = "the records are older than the journal"
SETTINGS = "the device's settings are not those that were written last"
REFUSED = "the store is not the one that was written last"
Contents = dict[str, bytes]


async def contents(store: Any) -> Contents:
    """Return everything in a store."""
    paths = await store.list("", "\U0010ffff", limit=10**6)
    return {path: (await store.get(path)).value for path in paths}


async def holding(records: Mapping[str, bytes | None]) -> MemoryStore:
    """Return a store with these records."""
    store = MemoryStore()
    await store.commit([Change(path, value) for path, value in records.items()])
    return store


async def put(store: Any, records: Mapping[str, bytes | None]) -> None:
    await store.commit([Change(path, value) for path, value in records.items()])


async def unlocked(core: Core, records: Contents, passphrase: str = UNLOCK) -> tuple[Core, int]:
    """Return a core that was started on a store with these records, and the answer to unlock."""
    other = await start_core(
        store=await holding(records), device_key=core.device_key, pools=core.pools
    )
    answer = await other.request("POST", "/unlock", json={"passphrase": passphrase})
    return other, answer.status


async def read_all(core: Core) -> None:
    """Have the core read every record by its name, whatever it answers."""
    for path in await core.store.list("/0/", "/00", limit=10**6):
        kind, _, name = path.removeprefix("/0/").partition("/")
        resource = {"key": "keys", "authentication": "users", "namespace": "namespaces"}.get(kind)
        if resource is not None:
            await core.request("GET", f"/{resource}/{name}", user=ADMIN)


def said(core: Core, event: str) -> bool:
    return any(event in line for line in core.log_lines)


@pytest.fixture(scope="module")
def histories(runner: Any) -> tuple[Core, Contents, Contents]:
    """A core, and everything in its store before and after each kind of change."""

    async def make_them() -> tuple[Core, Contents, Contents]:
        core = await start_core()
        await core.provision()
        for name in ("deleted", "changed", "stays"):
            await core.add_user(name, "Operator")
            await core.generate(name, "Curve25519", "EdDSA_Signature")
        await core.add_namespace("deleted")
        await core.request("DELETE", "/users/deleted~admin", user=ADMIN)
        await core.hsm.stop()
        before = await contents(core.store)
        core = await core.restarted()
        await core.request("POST", "/unlock", json={"passphrase": UNLOCK})
        change = {"newPassphrase": NEW_UNLOCK, "currentPassphrase": UNLOCK}
        for method, path, json in (
            ("DELETE", "/users/deleted", None),
            ("DELETE", "/keys/deleted", None),
            ("DELETE", "/namespaces/deleted", None),
            ("POST", "/users/changed/passphrase", {"passphrase": "another passphrase"}),
            ("PUT", "/keys/changed/policy", {"enabled": False}),
            ("PUT", "/config/unlock-passphrase", change),
        ):
            answer = await core.request(method, path, user=ADMIN, json=json)
            assert answer.status in {200, 204}, (path, answer)
        await core.add_user("added", "Operator")
        await core.generate("added", "Curve25519", "EdDSA_Signature")
        await core.hsm.stop()
        return core, before, await contents(core.store)

    core, before, after = runner.run(make_them())
    return core, before, after


def is_bound(path: str) -> bool:
    return not path.startswith(("/journal/", "/local/"))


def changed(before: Contents, after: Contents) -> list[str]:
    """Return the paths whose records differ and are bound to the root."""
    paths = {path for path in before | after if before.get(path) != after.get(path)}
    return sorted(filter(is_bound, paths))


async def is_detected(core: Core, records: Contents, passphrase: str = NEW_UNLOCK) -> bool:
    """Whether a core that is started on these records says that some are not the last ones."""
    other, status = await unlocked(core, records, passphrase)
    if status == 412:
        return said(other, REFUSED)
    if status == 409:
        return said(other, OLDER) or said(other, SETTINGS)
    assert status in {204, 500}, status
    await read_all(other)
    if status == 204:
        await other.hsm.binding.looking
    await other.hsm.stop()
    return said(other, WRONG) or said(other, MISSING)


def replaced(after: Contents, before: Contents, paths: Iterable[str]) -> Contents:
    """Return `after` with these paths as they were before."""
    records = {path: value for path, value in after.items() if path not in set(paths)}
    return records | {path: before[path] for path in paths if path in before}


async def test_the_store_as_it_was_written_last_is_accepted(
    histories: tuple[Core, Contents, Contents],
) -> None:
    core, _, after = histories
    assert not await is_detected(core, after)


async def test_each_record_put_back_alone_is_detected(
    histories: tuple[Core, Contents, Contents],
) -> None:
    core, before, after = histories
    paths = [path for path in changed(before, after) if not path.startswith(f"{ROOT}/")]
    kinds = {path.split("/")[2] for path in paths}
    assert {"authentication", "key", "namespace", "root", "config"} <= kinds
    missed = [
        path for path in paths if not await is_detected(core, replaced(after, before, [path]))
    ]
    assert missed == []


async def test_each_record_put_back_with_all_pages_or_the_root_is_detected(
    histories: tuple[Core, Contents, Contents],
) -> None:
    core, before, after = histories
    roots = [path for path in changed(before, after) if path.startswith(ROOT)]
    pages = [path for path in roots if path != ROOT]
    records = [path for path in changed(before, after) if path not in roots and path in before]
    for path in records:
        for also in ([ROOT], pages, roots):
            assert await is_detected(core, replaced(after, before, [path, *also])), (path, also)


async def test_a_record_that_was_deleted_on_the_disk_is_no_free_name(
    histories: tuple[Core, Contents, Contents],
) -> None:
    core, _, after = histories
    (path,) = (path for path in after if path.endswith("/key/stays"))
    other, status = await unlocked(core, replaced(after, {}, [path]), NEW_UNLOCK)
    assert status == 204
    wanted = {"id": "stays", "type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}
    answer = await other.request("POST", "/keys/generate", user=ADMIN, json=wanted)
    assert answer.status >= 400
    assert (await other.request("GET", "/keys/stays", user=ADMIN)).status == 500


async def test_a_root_that_was_removed_is_not_made_again(
    histories: tuple[Core, Contents, Contents],
) -> None:
    core, _, after = histories
    roots = [path for path in after if path.startswith(ROOT)]
    assert await is_detected(core, replaced(after, {}, roots))
    assert await is_detected(core, replaced(after, {}, [ROOT]))


async def test_the_wrapped_domain_key_of_an_older_unlock_passphrase_opens_nothing(
    histories: tuple[Core, Contents, Contents],
) -> None:
    core, before, after = histories
    local = [path for path in after if path.startswith("/local/")]
    other, status = await unlocked(core, replaced(after, before, local), UNLOCK)
    assert (status, said(other, SETTINGS)) == (409, True)
    assert await acknowledge(other) == 412
    assert said(other, "The wrapped domain key is an older one.")
    assert (await other.request("GET", "/health/state")).json() == {"state": "Locked"}


async def test_a_setting_that_is_put_back_while_the_hsm_runs_is_not_used() -> None:
    core = await start_core()
    await core.provision()
    before = await contents(core.store)
    (path,) = (path for path in before if path.endswith("/config/time-offset"))
    await core.request("PUT", "/config/time", user=ADMIN, json={"time": "2025-01-01T00:00:00Z"})
    present = (await core.store.get(path)).value
    await put(core.store, {path: before[path]})
    with pytest.raises(CorruptRecord):
        await core.hsm.time.load()
    assert said(core, WRONG)
    await put(core.store, {path: present})
    await core.hsm.time.load()
    core.close()


async def test_unattended_boot_does_not_open_a_store_with_an_older_wrapped_domain_key() -> None:
    core = await start_core()
    await core.provision()
    on = {"status": "on"}
    await core.request("PUT", "/config/unattended-boot", user=ADMIN, json=on)
    before = await contents(core.store)
    change = {"newPassphrase": NEW_UNLOCK, "currentPassphrase": UNLOCK}
    await core.request("PUT", "/config/unlock-passphrase", user=ADMIN, json=change)
    assert (await core.restarted()).hsm.is_operational
    slot = f"/local/{core.hsm.device_id}/domain-key/attended-and-bound"
    await put(core.store, {slot: before[slot]})
    again = await core.restarted()
    assert (await again.request("GET", "/health/state")).json() == {"state": "Locked"}
    assert said(again, REFUSED)
    core.close()


async def test_a_record_that_is_put_back_while_the_hsm_runs_is_not_used() -> None:
    core = await start_core()
    await core.provision()
    await core.add_user("victim", "Operator")
    path = "/0/authentication/victim"
    before = await contents(core.store)
    await core.request("DELETE", "/users/victim", user=ADMIN)
    await put(core.store, {path: before[path]})
    victim = ("victim", "passphrase of victim")
    assert (await core.request("GET", "/keys", user=victim)).status == 500
    assert said(core, WRONG)
    core.close()


async def as_earlier_software(core: Core) -> Contents:
    """Return the records of a core as software without a root wrote them."""
    await core.hsm.stop()
    local, device_key = core.hsm.local, Secret(core.device_key.reveal())
    slots = f"/local/{local.device_id}/domain-key/"
    locked = await local.locked_domain_key()
    records = {
        path: value
        for path, value in (await contents(core.store)).items()
        if not path.startswith((ROOT, slots, "/journal/")) and "/attended-slot-" not in path
    }
    old = f"{slots}attended"
    return records | {old: envelope.seal(device_key, old, locked)}


async def test_a_store_of_earlier_software_gets_a_root_once() -> None:
    core = await start_core()
    await core.provision()
    await core.generate("a", "Curve25519", "EdDSA_Signature")
    records = await as_earlier_software(core)
    upgraded, status = await unlocked(core, records)
    assert status == 204
    assert (await upgraded.request("GET", "/keys/a", user=ADMIN)).status == 200
    await upgraded.request("DELETE", "/keys/a", user=ADMIN)
    await upgraded.hsm.stop()
    after = await contents(upgraded.store)
    assert not await is_detected(core, after, UNLOCK)
    roots = [path for path in after if path.startswith(ROOT)]
    assert await is_detected(core, replaced(after, records, ["/0/key/a"]), UNLOCK)
    assert await is_detected(core, replaced(after, {}, roots), UNLOCK)
    core.close()


async def test_a_store_of_earlier_software_with_the_journal_of_this_one_is_refused() -> None:
    core = await start_core()
    await core.provision()
    await core.generate("a", "Curve25519", "EdDSA_Signature")
    records = await as_earlier_software(core)
    journal = {
        path: value
        for path, value in (await contents(core.store)).items()
        if path.startswith("/journal/")
    }
    other, status = await unlocked(core, records | journal)
    assert (status, said(other, OLDER)) == (409, True)
    assert await contents(other.store) == records | journal
    assert await acknowledge(other) == 204
    core.close()


async def test_a_crash_while_the_first_root_is_made_leaves_a_store_that_opens() -> None:
    core = await start_core()
    await core.provision()
    await core.generate("a", "Curve25519", "EdDSA_Signature")
    records = await as_earlier_software(core)
    pages = [path for path in await contents(core.store) if path.startswith(f"{ROOT}/")]
    other, status = await unlocked(core, records | dict.fromkeys(pages, b"of an earlier try"))
    assert status == 204
    assert (await other.request("GET", "/keys/a", user=ADMIN)).status == 200
    assert not said(other, WRONG)
    core.close()


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_record_of_an_earlier_generation_is_refused_after_a_restore(
    elsewhere: bool,  # noqa: FBT001
) -> None:
    core, backup, _ = await furnished()
    file = await make(core, backup)
    await core.request("PUT", "/keys/mine/policy", user=ADMIN, json={"enabled": False})
    before = await contents(core.store)
    target = await started() if elsewhere else core
    answer = await restore(target, file, None if elsewhere else ADMIN)
    assert answer.status == 204
    if elsewhere:
        assert await unlock(target) == 204
    assert (await target.request("GET", "/keys/mine", user=ADMIN)).status == 200
    await target.request("DELETE", "/keys/mine", user=ADMIN)
    await target.hsm.stop()
    await put(target.store, {"/1/key/mine": before["/0/key/mine"]})
    again = await target.restarted()
    assert await unlock(again) == 204
    assert (await again.request("GET", "/keys/mine", user=ADMIN)).status == 500
    assert said(again, WRONG)
    core.close()
