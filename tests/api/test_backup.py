"""The backup passphrase, and what is in a backup."""

import pytest
from nethsm.backup import EncryptedBackup

from keystead.api.http.route import ResponseCut
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.passphrase import derive_unlock_key
from tests.support.backups import (
    PASSPHRASE,
    begun,
    furnished,
    make,
    opened,
    restore,
    set_passphrase,
    signs,
    started,
    unlock,
)
from tests.support.core import ADMIN, UNLOCK

# --- the passphrase ---------------------------------------------------------------------------


async def test_the_first_passphrase_needs_an_empty_current_one_and_the_next_the_last(fresh_core):
    core = fresh_core
    await core.provision()
    assert await set_passphrase(core, PASSPHRASE, current="something else") == 403
    assert await set_passphrase(core, "too short") == 400
    assert await set_passphrase(core, PASSPHRASE) == 204
    assert await set_passphrase(core, "another passphrase") == 403
    assert await set_passphrase(core, "another passphrase", current="wrong passphrase") == 403
    assert await set_passphrase(core, "another passphrase", current=PASSPHRASE) == 204
    assert await set_passphrase(core, PASSPHRASE, current="another passphrase") == 204


async def test_without_a_passphrase_there_is_no_backup(fresh_core):
    await fresh_core.provision()
    backup = await fresh_core.add_user("backup", "Backup")
    assert (await fresh_core.request("POST", "/system/backup", user=backup)).status == 412


# --- the file ---------------------------------------------------------------------------------


async def test_the_official_reader_opens_a_backup_and_finds_everything_in_it():
    core, backup, _ = await furnished()
    found = opened(await make(core, backup))
    device = core.hsm.device_id
    assert found.backup_device_id == device.encode()
    assert {path for path in found.data if not path.startswith("/local/")} == {
        "/authentication/.version",
        "/authentication/admin",
        "/authentication/backup",
        "/authentication/ns~admin",
        "/authentication/operator",
        "/backup-seal",
        "/config/backup-key",
        "/config/backup-salt",
        "/config/version",
        "/key/.ns/theirs",
        "/key/.version",
        "/key/mine",
        "/namespace/.version",
        "/namespace/ns",
    }
    salt_path = f"/local/{device}/config/unlock-salt"
    salt = envelope.unseal(Secret(found.backup_config_store_key), salt_path, found.data[salt_path])
    derive_unlock_key(Secret(UNLOCK.encode()), salt)
    core.close()


async def test_what_opens_the_domain_key_without_a_passphrase_is_in_no_backup():
    core, backup, _ = await furnished()
    answer = await core.request("PUT", "/config/unattended-boot", user=ADMIN, json={"status": "on"})
    assert answer.status == 204
    found = opened(await make(core, backup))
    assert not [path for path in found.data if "unattended" in path]
    core.close()


async def test_uses_that_are_only_counted_in_memory_are_in_the_backup():
    core, backup, operator = await furnished()
    for _ in range(3):
        assert await signs(core, "mine", operator)
    file = await make(core, backup)
    other = await started()
    assert (await restore(other, file)).status == 204
    assert await unlock(other) == 204
    shown = await other.request("GET", "/keys/mine", user=ADMIN)
    assert shown.json()["operations"] == 3
    core.close()
    other.close()


async def test_a_backup_is_what_there_was_when_it_began():
    core, backup, operator = await furnished()
    fresh = await make(core, backup)
    head, parts = await begun(core, backup)
    assert head.status == 200
    received = [await anext(parts)]
    for method, path, wanted, status in (
        ("POST", "/keys/mine/move", {"newId": "moved"}, 200),
        ("DELETE", "/users/operator", None, 204),
        ("DELETE", "/namespaces/ns", None, 204),
        ("PUT", "/namespaces/later", None, 204),
    ):
        answer = await core.request(method, path, user=ADMIN, json=wanted)
        assert answer.status == status, (path, answer)
    changed = {"newPassphrase": "another passphrase", "currentPassphrase": UNLOCK}
    path = "/config/unlock-passphrase"
    assert (await core.request("PUT", path, user=ADMIN, json=changed)).status == 204
    async for part in parts:
        # What is written between two parts is not in the file either.
        await core.generate(f"new{len(received)}", "Curve25519", "EdDSA_Signature")
        received.append(part)
    file = b"".join(received)
    assert opened(file).data.keys() == opened(fresh).data.keys()
    other = await started()
    assert (await restore(other, file)).status == 204
    assert await unlock(other) == 204
    assert await signs(other, "mine", operator)
    core.close()
    other.close()


async def test_a_backup_whose_moment_is_no_longer_kept_ends_without_its_end():
    core, backup, _ = await furnished()
    _, parts = await begun(core, backup)
    received = [await anext(parts)]
    for snapshot in list(core.store.snapshots):
        await snapshot.close()
    with pytest.raises(ResponseCut):
        received.extend([part async for part in parts])
    with pytest.raises(ValueError, match="truncated"):
        EncryptedBackup.parse(b"".join(received))
    # That says nothing about the store, so the HSM goes on.
    assert core.hsm.state.value == "Operational"
    assert opened(await make(core, backup))
    core.close()


async def test_a_backup_that_ends_in_any_way_keeps_no_snapshot():
    core, backup, _ = await furnished()
    _, parts = await begun(core, backup)
    await parts.aclose()
    assert not core.store.snapshots
    _, parts = await begun(core, backup)
    await anext(parts)
    assert len(core.store.snapshots) == 1
    await parts.aclose()
    await make(core, backup)
    assert not core.store.snapshots
    core.close()


async def test_a_backup_that_lock_overtakes_ends_without_its_end():
    core, backup, _ = await furnished()
    _, parts = await begun(core, backup)
    received = [await anext(parts)]
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    with pytest.raises(ResponseCut):
        await anext(parts)
    with pytest.raises(ValueError, match="truncated"):
        EncryptedBackup.parse(b"".join(received))
    core.close()
