"""Settings of the device put back by a program that knows everything but the keys.

They are read before unlock, so an older one may be in use while the HSM is Locked. The unlock says
so: nobody comes into an Operational HSM whose settings are not those that were written last.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from keystead.errors import CorruptRecord
from keystead.journal.log import Level
from keystead.model.device_settings import (
    DEFAULT_LOGGING,
    DEFAULT_NETWORK,
    DEFAULT_NTP,
    LoggingSettings,
    NetworkSettings,
    NtpSettings,
)
from keystead.model.journal_settings import DEFAULT_JOURNAL
from keystead.model.secret import Secret
from keystead.operations.freshness import Freshness
from keystead.sealing.unlock_shares import WantedShares, make_shares
from keystead.storage import settings
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore
from keystead.storage.settings import Setting
from keystead.storage.version_pages import PAGES, hash_of
from keystead.wire.control_messages import MachineSetting
from keystead.wire.platform_messages import FreshnessSettings
from tests.api.test_put_back import WRONG, contents, put, said, unlocked
from tests.api.test_unlock_shares import provisioned
from tests.support.backups import Servers, furnished, make, restore, started, unlock
from tests.support.core import ADMIN, UNLOCK, Answer, Core, start_core
from tests.support.rollback import acknowledge, code_of
from tests.support.stores import Crash, WatchedStore

EVENT = "the device's settings are not those that were written last"
BOUND = "the device's settings are bound to the root from now on"
Contents = Mapping[str, bytes]

OF_THE_HSM = {settings.BACKUP_SALT, settings.BACKUP_KEY}
UNTIL_UNLOCK = {settings.RESTORED_SEAL, settings.RESTORED_VERSIONS}
"""Each is used at the first unlock after a restore, before the root is known."""
ADDED: list[tuple[Setting[Any], Any]] = [
    (settings.UNLOCK_SHARES, make_shares(WantedShares(2, 3)).share_set),
    (settings.IDENTITY_KEY, b"sealed key"),
    (settings.CLUSTER_CA, b"certificate"),
    (settings.UNATTENDED_BOOT, False),
    (settings.NETWORK, DEFAULT_NETWORK),
    (settings.LOGGING, DEFAULT_LOGGING),
    (settings.NTP, DEFAULT_NTP),
    (settings.JOURNAL, DEFAULT_JOURNAL),
    (settings.RESTORED_BACKUP_SALT, b"salt"),
    (settings.RESTORED_JOURNAL, Secret(bytes(64))),
]
"""Settings that provisioning does not write, and a value."""
WRITTEN: list[Setting[Any]] = [
    settings.UNLOCK_SALT,
    settings.TLS_CHAIN,
    settings.TLS_KEY,
    settings.TIME_OFFSET,
    settings.SEALS_BACKUPS,
]
LATER: list[tuple[Setting[Any], Any]] = [(settings.RESTORED_BACKUP_KEY, Secret(b"key"))]
"""Without it, a restored salt of a backup passphrase is not used. So it is put back alone."""
APPLIED: dict[Setting[Any], tuple[Any, Any]] = {
    settings.NETWORK: (
        NetworkSettings("192.0.2.1", "255.255.255.0", "0.0.0.0"),  # noqa: S104 - not a bind
        NetworkSettings("192.0.2.2", "255.255.255.0", "0.0.0.0"),  # noqa: S104 - not a bind
    ),
    settings.NTP: (NtpSettings("192.0.2.1"), NtpSettings("192.0.2.2")),
    settings.LOGGING: (
        LoggingSettings("192.0.2.1", 514, "error"),
        LoggingSettings("192.0.2.2", 514, "warning"),
    ),
}
"""Settings that act outside of the core: an older one, and the present one."""
NAMES = sorted(
    [setting.name for setting, _ in ADDED]
    + [setting.name for setting in WRITTEN]
    + [settings.IDENTITY_CHAIN.name]
)
EARLY = {setting.name for setting in (settings.TLS_CHAIN, settings.TLS_KEY)}
"""Without these, the start makes others."""


def test_every_setting_of_the_device_is_tried() -> None:
    known = {one for one in vars(settings).values() if isinstance(one, Setting)}
    others = OF_THE_HSM | UNTIL_UNLOCK | {setting for setting, _ in LATER}
    assert {one.name for one in known - others} == {*NAMES}


def path_of(core: Core, name: str) -> str:
    return f"/local/{core.hsm.device_id}/config/{name}"


async def write(core: Core, setting: Setting[Any], value: Any) -> None:
    await core.hsm.store.commit([core.hsm.local.settings.put(setting, value)])


async def write_all(core: Core) -> None:
    """Write every setting once more, with the value that it has."""
    own = core.hsm.local.settings
    chain = await own.get(settings.TLS_CHAIN)
    for setting, value in [*ADDED, (settings.IDENTITY_CHAIN, chain)]:
        await write(core, setting, value)
    for setting in WRITTEN:
        await write(core, setting, await own.get(setting))


@pytest.fixture(scope="module")
def history(runner: Any) -> tuple[Core, Contents, Contents]:
    """A core, and its store before and after each setting was written anew."""

    async def make_it() -> tuple[Core, Contents, Contents]:
        core = await start_core()
        await core.provision()
        for setting, value in LATER:
            await write(core, setting, value)
        await write_all(core)
        older = await contents(core.store)
        for setting, _ in LATER:
            await core.hsm.store.commit([core.hsm.local.settings.remove(setting)])
        await write_all(core)
        await core.hsm.stop()
        return core, older, await contents(core.store)

    made: tuple[Core, Contents, Contents] = runner.run(make_it())
    return made


def with_one(records: Contents, path: str, value: bytes | None) -> dict[str, bytes]:
    changed = {at: what for at, what in records.items() if at != path}
    return changed if value is None else changed | {path: value}


async def test_the_settings_as_they_were_written_last_are_accepted(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, _, present = history
    other, status = await unlocked(core, dict(present))
    assert (status, said(other, EVENT)) == (204, False)
    assert not said(other, BOUND)


@pytest.mark.parametrize("name", [*NAMES, settings.RESTORED_BACKUP_KEY.name])
async def test_an_older_setting_is_named_and_has_to_be_acknowledged(
    history: tuple[Core, Contents, Contents], name: str
) -> None:
    core, older, present = history
    path = path_of(core, name)
    assert older[path] != present.get(path)
    records = with_one(present, path, older[path])
    other, status = await unlocked(core, records)
    assert (status, said(other, EVENT)) == (409, True)
    answer = await other.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert f"written last: {name}." in answer.message
    assert (await other.request("GET", "/health/state")).json() == {"state": "Locked"}

    assert await acknowledge(other) == 204
    journal = (await other.request("GET", "/journal", user=ADMIN)).body.splitlines()
    (entry,) = (line for line in journal if b'"rollback acknowledged"' in line)
    assert name.encode() in entry
    await other.hsm.stop()
    again, status = await unlocked(core, await contents(other.store))
    assert (status, said(again, EVENT)) == (204, False)


@pytest.mark.parametrize("name", NAMES)
async def test_a_setting_that_was_deleted_is_named(
    history: tuple[Core, Contents, Contents], name: str
) -> None:
    core, _, present = history
    other, status = await unlocked(core, with_one(present, path_of(core, name), None))
    if name == settings.UNLOCK_SALT.name:
        assert status == 403  # Nothing unlocks then.
    else:
        assert (status, said(other, EVENT)) == (409, True)
        answer = await other.request("POST", "/unlock", json={"passphrase": UNLOCK})
        assert name in answer.message


async def opens(core: Core, records: Contents) -> bool:
    """Whether a core starts on these records and is unlocked."""
    try:
        other, status = await unlocked(core, dict(records))
    except CorruptRecord:
        return False
    assert status != 204 or not said(other, EVENT)
    return status == 204


@pytest.mark.parametrize("name", NAMES)
async def test_a_setting_of_another_device_or_of_another_name_opens_nothing(
    history: tuple[Core, Contents, Contents], name: str
) -> None:
    core, _, present = history
    local = LocalStore(core.store, Secret(os.urandom(32)))
    foreign = local.settings.put(settings.TIME_OFFSET, 0).value
    another = path_of(core, next(one for one in NAMES if one != name))
    for value in (foreign, present[another]):
        assert not await opens(core, with_one(present, path_of(core, name), value))


async def test_any_mixture_of_older_and_present_settings_is_named_in_full(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, older, present = history
    for number in range(1, len(NAMES)):
        chosen = sorted(NAMES[number:] if number % 2 else NAMES[::number])
        records = dict(present) | {
            path_of(core, name): older[path_of(core, name)] for name in chosen
        }
        other, status = await unlocked(core, records)
        answer = await other.request("POST", "/unlock", json={"passphrase": UNLOCK})
        assert (status, answer.status) == (409, 409)
        assert f"written last: {', '.join(chosen)}." in answer.message


async def test_what_is_known_of_the_settings_cannot_be_put_back_or_removed_with_them(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, older, present = history
    known = f"/0/device/{core.hsm.device_id}"
    own = {path: value for path, value in older.items() if path.startswith("/local/")}
    for records in (
        present | own | {known: older[known]},
        with_one(present | own, known, None),
        present | own | {known: b"not a record of hashes"},
        present | {known: older[known]},
    ):
        other, status = await unlocked(core, dict(records))
        assert (status, said(other, EVENT)) == (409, True)
    # An acknowledgement is possible nevertheless, and makes a new record.
    other, _ = await unlocked(core, with_one(present, known, None))
    assert await acknowledge(other) == 204
    await other.hsm.stop()
    again, status = await unlocked(core, await contents(other.store))
    assert (status, said(again, EVENT)) == (204, False)


async def test_a_page_of_the_root_that_does_not_fit_is_not_acknowledged(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, _, present = history
    known = f"/0/device/{core.hsm.device_id}"
    page = int.from_bytes(hash_of(known.encode())[:2]) % PAGES
    records = dict(present) | {known: b"", f"/0/root/{page:03}": b""}
    other, _ = await unlocked(core, records)
    status = await acknowledge(other)
    assert (status, said(other, "the store is not the one that was written last")) == (412, True)
    assert (await other.request("GET", "/health/state")).json() == {"state": "Locked"}


async def test_unattended_boot_stays_locked_with_an_older_setting() -> None:
    core = await start_core()
    await core.provision()
    path = path_of(core, settings.NTP.name)
    await write(core, settings.NTP, DEFAULT_NTP)
    older = (await contents(core.store))[path]
    await write(core, settings.NTP, DEFAULT_NTP)
    await core.request("PUT", "/config/unattended-boot", user=ADMIN, json={"status": "on"})
    assert (await core.restarted()).hsm.is_operational
    await put(core.store, {path: older})
    again = await core.restarted()
    assert (await again.request("GET", "/health/state")).json() == {"state": "Locked"}
    assert said(again, EVENT)
    core.close()


async def test_settings_that_a_store_showed_only_until_the_unlock_are_not_used_after_it() -> None:
    core = await start_core()
    core.hsm.tls.servers = Servers()
    await core.provision()
    older = await contents(core.store)
    for method, path, json in (
        ("PUT", "/config/time", {"time": "2031-01-01T00:00:00Z"}),
        ("PUT", "/config/journal", {"uses": "each", "whenFull": "refuse", "maxBytes": 2**26}),
        ("POST", "/config/tls/generate", {"type": "EC_P256"}),
    ):
        answer = await core.request(method, path, user=ADMIN, json=json)
        assert answer.status < 300, answer
    await core.hsm.stop()
    present = await contents(core.store)
    own = [path for path in present if "/config/" in path and path.startswith("/local/")]
    await put(core.store, {path: older.get(path) for path in own})
    again = await core.restarted()
    again.hsm.tls.servers = servers = Servers()
    assert again.hsm.tls.identity.chain != core.hsm.tls.identity.chain
    await put(core.store, {path: present[path] for path in own})
    assert await unlock(again) == 204
    assert (await again.request("GET", "/config/time", user=ADMIN)).json()["time"][:4] == "2031"
    assert again.hsm.audit.settings.uses == "each"
    assert [one.chain for one in servers.served] == [core.hsm.tls.identity.chain]
    core.close()


async def test_network_time_server_and_log_are_read_again_at_the_unlock() -> None:
    core = await start_core()
    await core.provision()
    path_of_each = {one.name: path_of(core, one.name) for one in APPLIED}
    for setting in APPLIED:
        await write(core, setting, APPLIED[setting][0])
    older = await contents(core.store)
    for setting in APPLIED:
        await write(core, setting, APPLIED[setting][1])
    await core.hsm.stop()
    present = await contents(core.store)
    await put(core.store, {path: older[path] for path in path_of_each.values()})
    told: list[MachineSetting] = []
    again = await start_core(
        store=core.store, device_key=core.device_key, pools=core.pools, set_machine=told.append
    )
    assert again.hsm.log.threshold is Level.ERROR
    assert [(one.name, "192.0.2.1" in one.value) for one in told] == [
        ("NETWORK", True),
        ("TIME_SERVER", True),
    ]
    await put(core.store, {path: present[path] for path in path_of_each.values()})
    assert await unlock(again) == 204
    assert again.hsm.log.threshold is Level.WARNING
    assert [(one.name, "192.0.2.2" in one.value) for one in told[2:]] == [
        ("NETWORK", True),
        ("TIME_SERVER", True),
    ]
    core.close()


async def test_a_second_fault_after_the_first_was_shown_is_not_acknowledged(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, older, present = history
    first, second = (path_of(core, name) for name in NAMES[:2])
    other, _ = await unlocked(core, with_one(present, first, older[first]))
    code = await code_of(other)
    await put(other.store, {second: older[second]})
    given = {"passphrase": UNLOCK, "acknowledgeRollback": code}
    answer = await other.request("POST", "/unlock", json=given)
    assert answer.status == 409
    assert f"written last: {NAMES[0]}, {NAMES[1]}." in answer.message
    assert "This is not what the code acknowledges." in answer.message
    assert answer.json()["acknowledgeRollback"] != code
    assert (await other.request("GET", "/health/state")).json() == {"state": "Locked"}
    assert await acknowledge(other) == 204
    journal = (await other.request("GET", "/journal", user=ADMIN)).body.splitlines()
    (entry,) = (line for line in journal if b'"rollback acknowledged"' in line)
    assert f"{NAMES[0]}, {NAMES[1]}".encode() in entry


async def test_another_value_of_the_setting_that_was_named_is_not_acknowledged(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, older, present = history
    path = path_of(core, settings.NTP.name)
    other, _ = await unlocked(core, with_one(present, path, older[path]))
    code = await code_of(other)
    changed = other.hsm.local.settings.put(settings.NTP, NtpSettings("192.0.2.66"))
    await put(other.store, {changed.path: changed.value})
    given = {"passphrase": UNLOCK, "acknowledgeRollback": code}
    assert (await other.request("POST", "/unlock", json=given)).status == 409


async def test_a_fault_that_is_gone_makes_the_code_void(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, older, present = history
    first, second = (path_of(core, name) for name in NAMES[:2])
    changed = {first: older[first], second: older[second]}
    other, _ = await unlocked(core, {**present, **changed})
    code = await code_of(other)
    await put(other.store, {first: present[first]})
    given = {"passphrase": UNLOCK, "acknowledgeRollback": code}
    assert (await other.request("POST", "/unlock", json=given)).status == 409
    await put(other.store, {second: present[second]})
    assert (await other.request("POST", "/unlock", json=given)).status == 204
    assert b"rollback" not in (await other.request("GET", "/journal", user=ADMIN)).body


async def test_a_crash_during_an_acknowledged_unlock_loses_no_entry_of_it(
    history: tuple[Core, Contents, Contents],
) -> None:
    core, older, present = history
    path = path_of(core, settings.NTP.name)
    records = with_one(present, path, older[path])
    status, made, crashes = 0, 0, 0
    while status != 204:
        store = WatchedStore()
        await put(store, records)
        other = await start_core(store=store, device_key=core.device_key, pools=core.pools)
        given = {"passphrase": UNLOCK, "acknowledgeRollback": await code_of(other)}
        store.crash_after(made)
        with contextlib.suppress(Crash):
            status = (await other.request("POST", "/unlock", json=given)).status
        again, found = await unlocked(core, await contents(store.kept))
        if found == 409:
            assert await acknowledge(again) == 204
        else:
            assert found == 204
            crashes += 1
        journal = (await again.request("GET", "/journal", user=ADMIN)).body
        assert b'"rollback acknowledged"' in journal, made
        made += 1
    assert crashes > 1


async def test_a_quorum_acknowledges_with_the_share_that_unlocks() -> None:
    core, shares = await provisioned(threshold=2, shares=3)
    path = path_of(core, settings.SEALS_BACKUPS.name)
    await core.hsm.stop()
    await put(core.store, {path: None})
    again = await core.restarted()

    async def give(share: str, **more: str) -> Answer:
        return await again.request("POST", "/unlock", json={"share": share, **more})

    first, second = [await give(share) for share in shares[:2]]
    assert (first.status, second.status, said(again, EVENT)) == (202, 409, True)
    code = second.json()["acknowledgeRollback"]
    # The code goes with the share that unlocks: what an earlier one acknowledges is not kept.
    statuses = [(await give(shares[2], acknowledgeRollback=code)).status]
    statuses += [(await give(shares[0])).status]
    assert statuses == [202, 409]
    statuses = [(await give(shares[2])).status]
    statuses += [(await give(shares[0], acknowledgeRollback=code)).status]
    assert statuses == [202, 204]
    core.close()


async def test_a_store_of_earlier_software_has_its_settings_bound_at_the_first_unlock() -> None:
    core = await start_core()
    await core.provision()
    await write(core, settings.NTP, DEFAULT_NTP)
    known = f"/0/device/{core.hsm.device_id}"
    # As without this record: through the store that knows the root.
    await core.hsm.session.store.commit([Change(known.removeprefix("/0"), None)])
    older = await contents(core.store)
    again = await core.restarted()
    assert await unlock(again) == 204
    assert said(again, BOUND)
    assert known in await contents(again.store)
    await write(again, settings.NTP, DEFAULT_NTP)
    await again.hsm.stop()
    path = path_of(core, settings.NTP.name)
    await put(core.store, {path: older[path]})
    assert await unlock(await core.restarted()) == 409
    core.close()


@pytest.mark.parametrize("is_alone", [True, False])
async def test_what_is_known_of_an_earlier_device_key_is_deleted_where_no_others_are(
    is_alone: bool,  # noqa: FBT001
) -> None:
    core = await start_core()
    await core.provision()
    earlier = core.hsm.local
    await core.hsm.stop()
    key = Secret(os.urandom(32))
    await core.store.commit(await earlier.moved_to(LocalStore(core.store, key)))
    freshness = None if is_alone else Freshness(FreshnessSettings(60), core.clock, lambda: None)
    again = await start_core(
        store=core.store, device_key=key, pools=core.pools, clock=core.clock, freshness=freshness
    )
    assert await unlock(again) == 204
    left = [path for path in await contents(core.store) if earlier.device_id in path]
    expected = [f"/0/config/attended-slot-{earlier.device_id}", f"/0/device/{earlier.device_id}"]
    assert left == ([] if is_alone else expected)
    await again.hsm.stop()
    other = await start_core(store=core.store, device_key=key, pools=core.pools)
    assert await unlock(other) == 204
    assert not said(other, WRONG)
    core.close()


async def test_settings_changed_at_once_are_all_known() -> None:
    core = await start_core(store=WatchedStore())
    await core.provision()
    all_of_them = [write(core, setting, value) for setting, value in ADDED * 3]
    cancelled = asyncio.create_task(write(core, settings.TIME_OFFSET, 7))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(*all_of_them, cancelled, return_exceptions=True)
    await core.hsm.stop()
    again = await core.restarted()
    assert await unlock(again) == 204
    assert not said(again, EVENT)
    core.close()


async def test_a_crash_before_or_after_the_change_of_a_setting_leaves_what_opens() -> None:
    store = WatchedStore()
    core = await start_core(store=store)
    await core.provision()
    await write(core, settings.NTP, DEFAULT_NTP)
    before = await contents(store)

    store.crash_after(0)
    with pytest.raises(Crash):
        await write(core, settings.NTP, DEFAULT_NTP)
    store.before_commit = lambda: None
    assert await contents(store) == before
    other, status = await unlocked(core, before)
    assert (status, said(other, EVENT)) == (204, False)
    await write(core, settings.NTP, DEFAULT_NTP)
    after = await contents(store)
    assert {path.split("/")[2] for path in after if before[path] != after[path]} == {
        core.hsm.device_id,
        "root",
        "device",
    }
    other, status = await unlocked(core, after)
    assert (status, said(other, EVENT)) == (204, False)
    core.close()


async def test_settings_of_a_restore_are_known_before_the_first_unlock() -> None:
    core, backup, _ = await furnished()
    await write(core, settings.NTP, DEFAULT_NTP)
    file = await make(core, backup)
    target = await started()
    before = await contents(target.store)
    assert (await restore(target, file)).status == 204
    after = await contents(target.store)
    for name in (settings.TLS_KEY.name, settings.TLS_CHAIN.name):
        path = path_of(target, name)
        assert before[path] != after[path]
        other, status = await unlocked(target, with_one(after, path, before[path]))
        assert (status, said(other, EVENT)) == (409, True)
    other, status = await unlocked(target, after)
    assert (status, said(other, EVENT), said(other, BOUND)) == (204, False, False)
    core.close()


@pytest.mark.parametrize("is_other", [False, True])
async def test_a_partial_restore_keeps_what_is_known_of_the_settings(
    is_other: bool,  # noqa: FBT001
) -> None:
    core, backup, _ = await furnished()
    file = await make(core, backup)
    target = core
    if is_other:
        target, _, _ = await furnished()
    await write(target, settings.NTP, DEFAULT_NTP)
    older = await contents(target.store)
    await write(target, settings.NTP, DEFAULT_NTP)
    assert (await restore(target, file, ADMIN)).status == 204
    path = path_of(target, settings.NTP.name)
    present = await contents(target.store)
    other, status = await unlocked(target, with_one(present, path, older[path]))
    assert (status, said(other, EVENT)) == (409, True)
    other, status = await unlocked(target, present)
    assert (status, said(other, EVENT)) == (204, False)
    core.close()


async def restored_while(interfere: Callable[[Core], Any], times: int) -> tuple[Core, int]:
    """Restore onto a core, while `interfere` runs before each of the last commits."""
    store = WatchedStore()
    core, backup, _ = await furnished(store=store)
    file = await make(core, backup)
    left = times

    async def before() -> None:
        nonlocal left
        if left and "/1/root" in await store.paths():
            left -= 1
            store.before_commit, kept = (lambda: None), store.before_commit
            await interfere(core)
            store.before_commit = kept

    store.before_commit = before
    answer = await restore(core, file, ADMIN)
    store.before_commit = lambda: None
    return core, answer.status


async def test_a_setting_that_is_changed_during_a_restore_is_known_after_it() -> None:
    async def change(core: Core) -> None:
        await write(core, settings.NTP, DEFAULT_NTP)

    core, status = await restored_while(change, 3)
    assert status == 204
    await core.hsm.stop()
    other, status = await unlocked(core, await contents(core.store))
    assert (status, said(other, EVENT), said(other, BOUND)) == (204, False, False)
    core.close()


async def test_a_restore_gives_up_if_settings_change_all_the_time() -> None:
    async def change(core: Core) -> None:
        await write(core, settings.NTP, DEFAULT_NTP)

    core, status = await restored_while(change, 10**6)
    assert status == 409
    assert core.hsm.is_operational
    core.close()


async def test_a_restore_that_another_one_has_overtaken_changes_nothing() -> None:
    async def overtake(core: Core) -> None:
        await put(core.store, {"/next-generation": None})

    core, status = await restored_while(overtake, 1)
    assert status == 409
    assert core.hsm.is_operational
    core.close()
