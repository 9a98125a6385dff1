"""Restore through the API: all of a file or nothing of it, in every state."""

import pytest
from nethsm.backup import Backup

from keystead.errors import CommitTooLarge, InvalidInput, StaleRevision, WrongState
from keystead.model.secret import Secret
from keystead.sealing.domain_key import StoreLabel, store_key
from keystead.sealing.envelope import unseal
from keystead.storage.local import LAYOUT_PATH
from tests.support.backups import (
    BOUNDARY,
    MULTIPART,
    PASSPHRASE,
    Servers,
    contents,
    form,
    furnished,
    make,
    opened,
    restore,
    set_passphrase,
    signs,
    started,
    swept,
    unlock,
    version_0,
)
from tests.support.core import ADMIN, UNLOCK

# --- restoring everything ---------------------------------------------------------------------


async def test_a_full_restore_brings_users_namespaces_keys_and_settings_and_ends_locked():
    core, backup, operator = await furnished()
    network = {"ipAddress": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "192.0.2.1"}
    logging = {"ipAddress": "192.0.2.9", "port": 6514, "logLevel": "warning"}
    for path, wanted in (("/config/network", network), ("/config/logging", logging)):
        assert (await core.request("PUT", path, user=ADMIN, json=wanted)).status == 204
    file = await make(core, backup)

    other = await started()
    assert other.hsm.device_id != core.hsm.device_id
    answer = await restore(other, file, systemTime="2030-01-01T00:00:00Z")
    assert (answer.status, other.hsm.state.value) == (204, "Locked")
    assert await unlock(other, "wrong passphrase") == 403
    other.clock.advance(2)
    assert await unlock(other) == 204
    assert await signs(other, "mine", operator)
    namespaced = ("ns~admin", "passphrase of ns~admin")
    assert (await other.request("GET", "/keys/theirs", user=namespaced)).status == 200
    for path, expected in (("/config/network", network), ("/config/logging", logging)):
        answer = await other.request("GET", path, user=ADMIN)
        assert answer.json() | expected == answer.json()
    time = await other.request("GET", "/config/time", user=ADMIN)
    assert time.json()["time"] == "2030-01-01T00:00:02Z"
    identity = core.hsm.tls.identity
    assert other.hsm.tls.identity.chain == identity.chain
    assert other.hsm.tls.servers.served[-1].key.reveal() == identity.key.reveal()
    assert await set_passphrase(other, "another passphrase", current=PASSPHRASE) == 204
    core.close()
    other.close()


async def test_a_restored_core_comes_up_the_same_after_a_restart():
    core, backup, operator = await furnished()
    other = await started()
    assert (await restore(other, await make(core, backup))).status == 204
    again = await other.restarted()
    assert again.hsm.state.value == "Locked"
    assert await unlock(again) == 204
    assert await signs(again, "mine", operator)
    core.close()
    other.close()


LABELS = {
    "/authentication/": StoreLabel.USERS,
    "/key/": StoreLabel.KEYS,
    "/namespace/": StoreLabel.NAMESPACES,
    "/config/": StoreLabel.CONFIG,
}


def plaintexts(file: Backup, domain_key: Secret) -> dict[str, bytes]:
    """What the shared records of a file hold, opened as a NetHSM opens them: by AES-GCM alone."""
    found = {}
    for path, value in file.data.items():
        label = LABELS.get(f"/{path.split('/')[1]}/")
        if label is not None and path != LAYOUT_PATH:
            found[path] = unseal(store_key(domain_key, label), path, value)
    return found


async def test_a_restore_and_a_backup_of_it_have_the_same_records():
    core, backup, _ = await furnished()
    first = opened(await make(core, backup))
    other = await started()
    assert (await restore(other, await make(core, backup))).status == 204
    assert await unlock(other) == 204
    second = opened(await make(other, backup))
    assert second.domain_key == first.domain_key
    contents = [plaintexts(file, core.hsm.session.require_domain_key()) for file in (first, second)]
    assert contents[0] == contents[1]
    core.close()
    other.close()


async def test_a_tls_identity_that_cannot_be_served_is_left_out():
    class Picky(Servers):
        async def try_out(self, _identity):
            raise InvalidInput("no client takes it")

    core, backup, _ = await furnished()
    other = await started()
    other.hsm.tls.servers = Picky()
    own = other.hsm.tls.identity.chain
    assert (await restore(other, await make(core, backup))).status == 204
    assert other.hsm.tls.identity.chain == own
    assert any("TLS identity was not restored" in line for line in other.log_lines)
    core.close()
    other.close()


@pytest.mark.parametrize(("stored", "offset"), [(b"-86400", -86400), (b"9" * 40, 0)])
async def test_without_a_time_it_is_the_files_as_far_as_that_is_one(stored, offset):
    core, backup, _ = await furnished()
    file = version_0(core, opened(await make(core, backup)), time_offset=stored)
    other = await started()
    assert (await restore(other, file)).status == 204
    assert other.hsm.time.now() == other.clock() + offset
    core.close()
    other.close()


async def test_the_parts_are_taken_by_their_order_and_not_their_names():
    core, backup, _ = await furnished()
    other = await started()
    body = form(await make(core, backup), {"backupPassphrase": PASSPHRASE}, ("z", "a"))
    answer = await other.request("POST", "/system/restore", body=body, headers=MULTIPART)
    assert answer.status == 204
    core.close()
    other.close()


async def test_version_0_keeps_network_and_logging_as_raw_bytes():
    core, backup, operator = await furnished()
    found = opened(await make(core, backup))
    file = version_0(
        core,
        found,
        ip_config=bytes([192, 0, 2, 1, 192, 0, 2, 7, 255, 255, 255, 0]),
        log_config=bytes([192, 0, 2, 9]) + (6514).to_bytes(2) + b"error",
        version=b"0",
        something_new=b"?",
    )
    other = await started()
    assert (await restore(other, file)).status == 204
    assert any("something-new" in line for line in other.log_lines)
    assert await unlock(other) == 204
    network = (await other.request("GET", "/config/network", user=ADMIN)).json()
    assert network["ipAddress"] == "192.0.2.7"
    assert network["gateway"] == "192.0.2.1"
    logging = (await other.request("GET", "/config/logging", user=ADMIN)).json()
    assert logging == {"ipAddress": "192.0.2.9", "port": 6514, "logLevel": "error"}
    assert await signs(other, "mine", operator)
    core.close()
    other.close()


async def test_settings_that_cannot_be_read_are_left_out_and_logged():
    core, backup, _ = await furnished()
    found = opened(await make(core, backup))
    file = version_0(core, found, ip_config=b"short", log_config=b"", private_key=b"none")
    other = await started()
    own = other.hsm.tls.identity
    assert (await restore(other, file)).status == 204
    assert other.hsm.tls.identity.chain == own.chain
    assert await unlock(other) == 204
    network = (await other.request("GET", "/config/network", user=ADMIN)).json()
    assert network["ipAddress"] == "192.168.1.1"
    core.close()
    other.close()


# --- files that are refused -------------------------------------------------------------------


async def test_a_refused_file_changes_nothing():
    core, backup, operator = await furnished()
    file = await make(core, backup)
    end = len(b"\0\0\0_NETHSM_BACKUP_END_")
    refused = {
        "not a backup": b"something else entirely, and long enough",
        "newer": file[:15] + b"\2" + file[16:],
        "truncated": file[: len(file) // 2],
        "without its end": file[:-end],
        "with more behind its end": file + b"x",
        "with a flipped bit": file[: len(file) // 2]
        + bytes([file[len(file) // 2] ^ 1])
        + file[len(file) // 2 + 1 :],
        "empty": b"",
    }
    other = await started()
    for target, user in ((core, ADMIN), (other, None)):
        before = await contents(target.store)
        for what, content in refused.items():
            answer = await restore(target, content, user)
            assert answer.status == 400, what
            assert answer.message
            await swept(target)
            assert await contents(target.store) == before, what
        answer = await restore(target, file, user, backupPassphrase="wrong passphrase")
        assert (answer.status, "passphrase" in answer.message) == (400, True)
        assert await contents(target.store) == before
    assert await signs(core, "mine", operator)
    core.close()
    other.close()


def limit_commits(store, most):
    """Have the store take commits with at most so many bytes, as etcd does."""
    commit = store.commit

    async def limited(changes, *, checks=()):
        if sum(len(change.value or b"") for change in changes) > most:
            raise CommitTooLarge("The store does not take so much at once.")
        return await commit(changes, checks=checks)

    store.commit = limited


async def certify(core, key_id, content):
    kind = {"content-type": "application/octet-stream"}
    path = f"/keys/{key_id}/cert"
    return await core.request("PUT", path, user=ADMIN, body=content, headers=kind)


async def test_a_file_with_a_record_that_the_store_does_not_take_changes_nothing():
    core, backup, operator = await furnished()
    assert (await certify(core, "mine", bytes(700_000))).status == 201
    file = await make(core, backup)
    assert (await core.request("DELETE", "/keys/mine/cert", user=ADMIN)).status == 204
    limit_commits(core.store, 800_000)
    before = await contents(core.store)
    answer = await restore(core, file, ADMIN)
    assert answer.status == 413
    assert "The record /key/mine of the backup has 93" in answer.message
    await swept(core)
    assert await contents(core.store) == before
    assert await signs(core, "mine", operator)
    core.close()


async def test_records_that_the_store_takes_by_themselves_are_restored():
    core, backup, operator = await furnished()
    await core.generate("before", "Curve25519", "EdDSA_Signature")
    for key_id, size in (("before", 180_000), ("mine", 700_000)):
        assert (await certify(core, key_id, bytes(size))).status == 201
    file = await make(core, backup)
    limit_commits(core.store, 1_000_000)
    assert (await restore(core, file, ADMIN)).status == 204
    assert await signs(core, "mine", operator)
    core.close()


async def test_a_change_that_is_more_than_the_store_takes_is_413():
    core, _, operator = await furnished()
    limit_commits(core.store, 800_000)
    answer = await certify(core, "mine", bytes(700_000))
    assert (answer.status, "Retry-After" in answer.headers) == (413, False)
    assert "does not take so much" in answer.message
    assert await signs(core, "mine", operator)
    assert core.hsm.alarm.reason is None
    core.close()


async def test_users_with_the_longest_names_are_restored():
    core, backup, _ = await furnished()
    user, passphrase = await core.add_user(f"{'n' * 128}~{'u' * 50}", "Operator")
    file = version_0(core, opened(await make(core, backup)))
    other = await started()
    assert (await restore(other, file)).status == 204
    assert await unlock(other) == 204
    found = await other.request("GET", f"/users/{user}", user=ADMIN)
    assert (found.status, found.json()["realName"]) == (200, user)
    assert (await other.request("GET", "/keys", user=(user, passphrase))).status == 403
    core.close()
    other.close()


@pytest.mark.parametrize("lacking", ["/authentication/.version", "/key/.version", "unlock-salt"])
async def test_a_file_that_lacks_what_every_one_has_is_refused(lacking):
    core, backup, _ = await furnished()
    found = opened(await make(core, backup))
    found.data = {path: value for path, value in found.data.items() if lacking not in path}
    other = await started()
    answer = await restore(other, version_0(core, found))
    assert (answer.status, answer.message) == (400, "The backup file is incomplete.")
    core.close()
    other.close()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "two parts"),
        (form(b"x", {"systemTime": "yesterday"}), "timestamp"),
        (form(b"x", {"unknown": 1}), "unknown"),
        (form(b"x", {"backupPassphrase": "x" * 5000}), "over 4096 bytes"),
        (form(b"x", {}), "truncated"),
        (form(b"x" * 40, {}), "not a NetHSM backup"),
        (form(b"_NETHSM_BACKUP_\1\0\0\x01x", {}), "backupPassphrase is missing"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(fresh_core, body, problem):
    answer = await fresh_core.request("POST", "/system/restore", body=body, headers=MULTIPART)
    assert (answer.status, problem in answer.message) == (400, True), answer.message


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 415),
        ("", 415),
        ("text", 415),
        ("application/json", 400),
        ("application/octet-stream", 400),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=other", 400),
    ],
)
async def test_without_a_media_type_it_is_415_and_of_another_one_400(fresh_core, sent, status):
    headers = {} if sent is None else {"content-type": sent}
    body = form(b"x" * 40, {})
    answer = await fresh_core.request("POST", "/system/restore", body=body, headers=headers)
    assert (answer.status, bool(answer.message)) == (status, True)


async def test_a_third_part_is_refused_before_anything_changes():
    core, backup, _ = await furnished()
    body = form(await make(core, backup), {"backupPassphrase": PASSPHRASE})
    more = body.replace(
        f"--{BOUNDARY}--".encode(),
        b'--%b\r\nContent-Disposition: form-data; name="c"\r\n\r\nx\r\n--%b--'
        % (BOUNDARY.encode(), BOUNDARY.encode()),
    )
    other = await started()
    answer = await other.request("POST", "/system/restore", body=more, headers=MULTIPART)
    assert (answer.status, other.hsm.state.value) == (400, "Unprovisioned")
    core.close()
    other.close()


async def test_without_a_content_type_it_is_415(fresh_core):
    answer = await fresh_core.request("POST", "/system/restore", body=b"x")
    assert answer.status == 415


# --- restoring onto an Operational one --------------------------------------------------------


async def test_a_partial_restore_of_the_same_domain_key_stays_operational():
    core, backup, operator = await furnished()
    file = await make(core, backup)
    late = await core.add_user("late", "Operator")
    await core.generate("late", "Curve25519", "EdDSA_Signature")
    assert (await core.request("DELETE", "/keys/mine", user=ADMIN)).status == 204
    network = {"ipAddress": "192.0.2.8", "netmask": "255.255.255.0", "gateway": "192.0.2.1"}
    assert (await core.request("PUT", "/config/network", user=ADMIN, json=network)).status == 204
    assert await signs(core, "late", late)

    assert (await restore(core, file, ADMIN)).status == 204
    assert core.hsm.state.value == "Operational"
    assert await signs(core, "mine", operator)
    assert (await core.request("GET", "/keys/late", user=ADMIN)).status == 404
    core.clock.advance(2)
    assert (await core.request("GET", "/keys", user=late)).status == 401
    kept = (await core.request("GET", "/config/network", user=ADMIN)).json()
    assert kept["ipAddress"] == "192.0.2.8"
    await swept(core)
    assert not [path for path in await contents(core.store) if path.startswith("/0/")]
    core.close()


async def test_a_partial_restore_sets_the_time_that_comes_with_it():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    assert (await restore(core, file, ADMIN, systemTime="2040-01-01T00:00:00Z")).status == 204
    time = await core.request("GET", "/config/time", user=ADMIN)
    assert time.json()["time"] == "2040-01-01T00:00:00Z"
    core.close()


async def test_a_partial_restore_of_another_domain_key_ends_locked_without_unattended_boot():
    core, backup, operator = await furnished()
    file = await make(core, backup)
    other = await started()
    await other.provision()
    await other.generate("own", "EC_P256", "ECDSA_Signature")
    new = {"newPassphrase": "unlock of the other", "currentPassphrase": UNLOCK}
    assert (
        await other.request("PUT", "/config/unlock-passphrase", user=ADMIN, json=new)
    ).status == 204
    on = {"status": "on"}
    assert (
        await other.request("PUT", "/config/unattended-boot", user=ADMIN, json=on)
    ).status == 204
    identity = other.hsm.tls.identity

    assert (await restore(other, file, ADMIN)).status == 204
    assert other.hsm.state.value == "Locked"
    again = await other.restarted()
    assert again.hsm.state.value == "Locked"
    assert await unlock(again, "unlock of the other") == 403
    again.clock.advance(2)
    assert await unlock(again) == 204
    off = (await again.request("GET", "/config/unattended-boot", user=ADMIN)).json()
    assert off == {"status": "off"}
    assert await signs(again, "mine", operator)
    assert (await again.request("GET", "/keys/own", user=ADMIN)).status == 404
    assert again.hsm.tls.identity.chain == identity.chain
    core.close()
    other.close()


async def test_without_a_passphrase_only_a_file_of_the_present_one_restores():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    assert (await restore(core, file, ADMIN, backupPassphrase=None)).status == 204
    assert await set_passphrase(core, "another passphrase", current=PASSPHRASE) == 204
    answer = await restore(core, file, ADMIN, backupPassphrase=None)
    assert (answer.status, "backupPassphrase" in answer.message) == (400, True)
    other = await started()
    assert (await restore(other, file, backupPassphrase=None)).status == 400
    core.close()
    other.close()


async def test_only_a_root_administrator_restores_onto_an_operational_one():
    core, backup, operator = await furnished()
    file = await make(core, backup)
    before = await contents(core.store)
    callers = ((None, 401), (operator, 403), (("ns~admin", "passphrase of ns~admin"), 403))
    for user, status in callers:
        assert (await restore(core, file, user)).status == status
    assert await contents(core.store) == before
    core.close()


async def test_a_file_whose_stores_do_not_open_under_its_domain_key_is_refused():
    core, backup, operator = await furnished()
    found = opened(await make(core, backup))
    found.data["/key/.version"] = bytes(40)
    answer = await restore(core, version_0(core, found), ADMIN)
    assert (answer.status, "does not fit" in answer.message) == (400, True)
    assert await signs(core, "mine", operator)
    core.close()


async def test_what_a_request_decided_before_a_restore_is_not_written_after_it():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    session = core.hsm.session
    found = await session.users.get(next(iter(await session.users.list(None))))
    assert (await restore(core, file, ADMIN)).status == 204
    with pytest.raises((StaleRevision, WrongState)):
        await session.users.put(found[0], expected=None)
    core.close()
