"""A backup is a set of records: what is true of each of them must be true of the set."""

import json
from collections.abc import AsyncIterator, Callable

from keystead.model.secret import Secret
from keystead.sealing.backup import BackupOrigin, BackupReader, BackupWriter
from keystead.sealing.backup_seal import SEAL_PATH
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage.key_value_store import Change
from tests.support.backups import (
    PASSPHRASE,
    contents,
    furnished,
    make,
    opened,
    restore,
    signs,
    started,
    swept,
    unlock,
)
from tests.support.core import ADMIN, Core, Credentials

Records = list[tuple[str, bytes]]
NAMESPACED = ("ns~admin", "passphrase of ns~admin")


async def read(file: bytes) -> tuple[BackupOrigin, bytes, Records]:
    """Return what opens a file, its salt, and its records: all that a backup passphrase gives."""

    async def parts() -> AsyncIterator[bytes]:
        yield file

    reader = BackupReader(parts())
    salt = await reader.opening()
    key = derive_unlock_key(Secret(PASSPHRASE.encode()), salt)
    origin = await reader.origin(key)
    return origin, salt, [record async for record in reader.records()]


def written(origin: BackupOrigin, salt: bytes, records: Records) -> bytes:
    """Return a file of these records, sealed again with the backup passphrase."""
    writer = BackupWriter(derive_unlock_key(Secret(PASSPHRASE.encode()), salt), salt)
    head = writer.head(
        locked_domain_key=origin.locked_domain_key,
        device_id=origin.device_id,
        local_config_key=origin.local_config_key,
    )
    return b"".join([head, *(writer.record(*record) for record in records), writer.end()])


async def edited(file: bytes, edit: Callable[[Records], Records]) -> bytes:
    origin, salt, records = await read(file)
    return written(origin, salt, edit(records))


def without(*paths: str) -> Callable[[Records], Records]:
    return lambda records: [record for record in records if record[0] not in paths]


async def log_of(core: Core) -> list[str]:
    return [json.loads(line)["event"] for line in core.log_lines]


async def changed_and_two_backups() -> tuple[Core, Credentials, bytes, bytes]:
    """Return a core, its Backup user, a backup, and one of later with another passphrase in it."""
    core, backup, _ = await furnished()
    first = await make(core, backup)
    wanted = {"passphrase": "another passphrase"}
    path = "/users/operator/passphrase"
    assert (await core.request("POST", path, user=ADMIN, json=wanted)).status == 204
    return core, backup, first, await make(core, backup)


async def edits(first: bytes, second: bytes) -> dict[str, bytes]:
    """Return files that each hold only records that open, made of two backups of one HSM."""
    origin, salt, records = await read(first)
    _, _, later = await read(second)
    old, new = dict(records), dict(later)
    user = "/authentication/operator"
    assert old[user] != new[user]
    replaced = [(path, new[path] if path == user else value) for path, value in records]
    sets = {
        "a namespace removed": without("/namespace/ns")(records),
        "a user removed": without(user)(records),
        "a key removed": without("/key/mine")(records),
        "a setting removed": without(f"/local/{origin.device_id}/config/private-key")(records),
        "a record added": [records[0], ("/key/other", old["/key/mine"]), *records[1:]],
        "a record of another backup": replaced,
        "all records of another backup": later[:-1] + records[-1:],
        "the seal of another backup": records[:-1] + later[-1:],
        "records reordered": [records[1], records[0], *records[2:]],
        "a record twice": [records[0], *records],
        "a record after the seal": [*records, records[0]],
        "no seal": records[:-1],
        "a seal of noise": [*records[:-1], (SEAL_PATH, bytes(68))],
        "an empty seal": [*records[:-1], (SEAL_PATH, b"")],
    }
    return {what: written(origin, salt, found) for what, found in sets.items()}


async def test_a_backup_ends_with_a_seal_and_stays_readable_by_the_official_reader():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    _, _, records = await read(file)
    assert [path for path, _ in records].index(SEAL_PATH) == len(records) - 1
    assert SEAL_PATH in opened(file).data
    core.close()


async def test_an_operational_hsm_refuses_every_other_set_of_records_under_its_domain_key():
    core, _, first, second = await changed_and_two_backups()
    before = await contents(core.store)
    for what, file in (await edits(first, second)).items():
        answer = await restore(core, file, ADMIN)
        assert (answer.status, "seal" in answer.message) == (400, True), what
        await swept(core)
        assert await contents(core.store) == before, what
    assert (await restore(core, first, ADMIN)).status == 204
    core.close()


async def test_a_new_hsm_stays_locked_over_any_other_set_of_records():
    core, _, first, second = await changed_and_two_backups()
    for what, file in (await edits(first, second)).items():
        if what in ("no seal", "a record after the seal"):
            continue
        other = await started()
        answer = await restore(other, file)
        if answer.status == 400:
            assert "incomplete" in answer.message, what
            continue
        for again in (other, await other.restarted()):
            assert await unlock(again) == 412, what
            assert again.hsm.state.value == "Locked", what
            assert "the restored backup is not intact" in await log_of(again), what
        other.close()
    core.close()


async def test_a_new_hsm_takes_a_file_without_a_seal_and_says_so():
    core, backup, operator = await furnished()
    file = await edited(await make(core, backup), without(SEAL_PATH))
    other = await started()
    assert (await restore(other, file)).status == 204
    assert any("no seal" in event for event in await log_of(other))
    assert await unlock(other) == 204
    assert await signs(other, "mine", operator)
    core.close()
    other.close()


async def test_an_operational_hsm_takes_a_file_of_another_domain_key_with_its_seal_only():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    await other.provision()
    answer = await restore(other, await edited(file, without(SEAL_PATH)), ADMIN)
    assert (answer.status, "no seal" in answer.message) == (400, True)
    assert other.hsm.state.value == "Operational"
    changed = await edited(file, lambda records: [records[1], records[0], *records[2:]])
    assert (await restore(other, changed, ADMIN)).status == 204
    assert await unlock(other) == 412
    assert await unlock(await other.restarted()) == 412
    core.close()
    other.close()


async def test_what_was_restored_with_a_seal_asks_for_one_from_then_on():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    assert (await restore(other, file)).status == 204
    assert await unlock(other) == 204
    answer = await restore(other, await edited(file, without(SEAL_PATH)), ADMIN)
    assert (answer.status, "no seal" in answer.message) == (400, True)
    core.close()
    other.close()


async def test_before_its_first_backup_an_hsm_takes_the_file_without_a_seal_that_it_came_from():
    core, backup, _ = await furnished()
    file = await edited(await make(core, backup), without(SEAL_PATH))
    other = await started()
    assert (await restore(other, file)).status == 204
    assert await unlock(other) == 204
    assert (await restore(other, file, ADMIN)).status == 204
    await make(other, backup)
    assert (await restore(other, file, ADMIN)).status == 400
    core.close()
    other.close()


async def test_a_seal_that_a_nethsm_kept_among_its_records_says_nothing():
    core, backup, operator = await furnished()
    file = await edited(await make(core, backup), sorted)
    other = await started()
    assert (await restore(other, file)).status == 204
    assert await unlock(other) == 204
    assert await signs(other, "mine", operator)
    core.close()
    other.close()


async def test_keys_whose_namespace_is_not_in_the_file_are_left_out_and_named():
    core, backup, _ = await furnished()
    file = await edited(await make(core, backup), without("/namespace/ns", SEAL_PATH))
    other = await started()
    assert (await restore(other, file)).status == 204
    assert not [path for path in await contents(other.store) if "/key/.ns/" in path]
    assert any("keys of a missing namespace" in line and "ns" in line for line in other.log_lines)
    assert await unlock(other) == 204
    assert (await other.request("PUT", "/namespaces/ns", user=ADMIN)).status == 204
    assert (await other.request("GET", "/keys", user=NAMESPACED)).json() == []
    core.close()
    other.close()


async def test_a_namespace_is_not_created_where_keys_were_put_back():
    core, _, _ = await furnished()
    left = {path: value for path, value in (await contents(core.store)).items() if "/.ns/" in path}
    assert (await core.request("DELETE", "/namespaces/ns", user=ADMIN)).status == 204
    await core.store.commit([Change(path, value) for path, value in left.items()])
    assert left
    assert (await core.request("PUT", "/namespaces/ns", user=ADMIN)).status == 500
    assert any("not the one that was written last" in line for line in core.log_lines)
    core.close()
