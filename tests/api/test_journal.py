"""The journal through the API: what is in it, and who reads and shortens it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from keystead import algorithms, journal_verify
from keystead.access.gate import Attempt
from keystead.deadlines import within
from keystead.model.ids import UserId, parse_key_id
from keystead.model.journal_settings import JournalSettings
from keystead.model.keys import KeyPath
from keystead.model.users import Caller, Role, Standing
from keystead.operations import audit, audit_counts, journal_writer
from keystead.operations.audit_counts import USES_SECONDS
from keystead.storage.journaled import current_action
from tests.support.backups import MULTIPART, PASSPHRASE, Servers, form, make, set_passphrase
from tests.support.core import ADMIN, UNLOCK, Core, Credentials, b64, start_core
from tests.support.stores import DetachedStore, WatchedStore

AUDITOR = ("auditor", "passphrase of auditor")
OPERATOR = ("op", "passphrase of op")
TIME = {"time": "2024-01-01T00:00:00Z"}
SIGN = {"mode": "EdDSA", "message": b64(b"message")}


@pytest.fixture
def core(runner: asyncio.Runner) -> Iterator[Core]:
    core = runner.run(start_core())
    runner.run(core.provision())
    runner.run(core.add_user("auditor", "Auditor"))
    yield core
    core.close()


async def journal(core: Core, query: str = "", user: Credentials = AUDITOR) -> list[dict[str, Any]]:
    answer = await core.request("GET", "/journal" + query, user=user)
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


async def verified(core: Core) -> list[dict[str, Any]]:
    """Return all entries, which fit the journal's key and its head."""
    head = (await core.request("GET", "/journal/head", user=AUDITOR)).body
    content = (await core.request("GET", "/journal", user=AUDITOR)).body
    pem = (await core.request("GET", "/journal/key.pem", user=AUDITOR)).body
    key = journal_verify.load_key(pem)
    lines = content.splitlines(keepends=True)
    report = journal_verify.verify(lines, key, head=journal_verify.load_head(head, key))
    assert report.is_intact, report.faults
    return [json.loads(line) for line in lines]


async def actions(core: Core) -> list[str]:
    return [entry["action"] for entry in await journal(core)]


async def test_an_action_is_an_entry_with_who_where_what_and_outcome(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    await core.request("PUT", "/keys/k/label", user=ADMIN, json={"label": "x"})
    entry = next(one for one in await journal(core) if one["action"] == "PUT /keys/{key_id}/label")
    assert entry["who"] == "admin"
    assert entry["address"] == "192.0.2.1"
    assert entry["key"] == "k"
    assert entry["outcome"] == "204"
    assert entry["request"] > 0
    assert entry["time"].endswith("Z")


async def test_the_entry_of_a_move_has_both_ids(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    answer = await core.request("POST", "/keys/k/move", user=ADMIN, json={"newId": "n"})
    assert answer.status == 200, answer
    (entry,) = [one for one in await journal(core) if one["action"] == "POST /keys/{key_id}/move"]
    assert (entry["key"], entry["target"]) == ("k", "n")


async def test_the_entry_of_a_new_key_has_its_namespace(core: Core) -> None:
    admin = await core.add_namespace("ns")
    await core.generate("k", "Curve25519", "EdDSA_Signature", by=admin)
    (entry,) = [one for one in await journal(core) if one["action"] == "POST /keys/generate"]
    assert (entry["namespace"], entry["key"]) == ("ns", "k")


async def test_the_entry_of_a_derived_key_has_both_keys(core: Core) -> None:
    await core.add_user("op", "Operator")
    await core.generate("k", "Generic", "HKDF_SHA256", length=256)
    into = {"id": "d", "mechanisms": ["HMAC_SHA256"]}
    wanted = {"mode": "HKDF_SHA256", "length": 32, "into": into}
    answer = await core.request("POST", "/keys/k/derive", user=OPERATOR, json=wanted)
    assert answer.status == 201, answer
    found = [one for one in await journal(core) if one["action"] == "POST /keys/{key_id}/derive"]
    assert [(one["key"], one["target"]) for one in found] == [("k", "d")]


async def test_equal_uses_of_ten_seconds_are_one_entry(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    await core.add_user("op", "Operator")
    for _ in range(3):
        answer = await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
        assert answer.status == 200
    core.clock.advance(USES_SECONDS)
    await core.hsm.audit.tick()
    (use,) = [one for one in await journal(core) if one["action"] == "sign"]
    assert (use["key"], use["who"], use["mode"], use["count"]) == ("k", "op", "EdDSA", 3)


async def test_two_uses_in_modes_of_one_name_are_two_entries(core: Core) -> None:
    both = ("AES_Encryption_GCM", "AES_Decryption_GCM")
    await core.generate("k", "Generic", *both, length=256)
    await core.add_user("op", "Operator")
    message = {"mode": "AES_GCM", "message": b64(b"message")}
    sealed = (await core.request("POST", "/keys/k/encrypt", user=OPERATOR, json=message)).json()
    for _ in range(2):
        answer = await core.request(
            "POST", "/keys/k/decrypt", user=OPERATOR, json={"mode": "AES_GCM", **sealed}
        )
        assert answer.status == 200, answer
    found = [one for one in await journal(core) if one.get("mode") == "AES_GCM"]
    assert [(one["action"], one["count"]) for one in found] == [("encrypt", 1), ("decrypt", 2)]


UNFIT = "The message or an option does not fit."
SHORT = {"mode": "ECDSA", "message": b64(bytes(31))}
DIGEST = b64(bytes(32))


@pytest.mark.parametrize("uses", ["counted", "each"])
async def test_what_is_not_signed_is_no_use_in_the_journal(core: Core, uses: str) -> None:
    await core.generate("k", "EC_P256", "ECDSA_Signature")
    await core.add_user("op", "Operator")
    await core.request("PUT", "/config/journal", user=ADMIN, json={"uses": uses})
    batch = {"mode": "ECDSA", "messages": [DIGEST, SHORT["message"], DIGEST]}
    good = {"mode": "ECDSA", "messages": [DIGEST, DIGEST]}
    sent = [SHORT, batch, good, batch, SHORT]
    answers = [
        await core.request("POST", "/keys/k/sign", user=OPERATOR, json=json) for json in sent
    ]
    assert [answer.status for answer in answers] == [400, 400, 200, 400, 400]
    found = [one for one in await journal(core) if one["action"] == "sign"]
    assert [(one["count"], one.get("outcome")) for one in found] == [(2, None), (4, UNFIT)]


@pytest.mark.parametrize("uses", ["counted", "each"])
async def test_a_use_that_failed_after_its_entry_was_made_is_told(core: Core, uses: str) -> None:
    settings = JournalSettings(uses=uses)
    counts = audit_counts.AuditCounts(
        settings, now=core.clock, monotonic=core.clock, require_room=lambda: None
    )
    caller = Caller(UserId(None, "op"), Role.OPERATOR, Standing(frozenset()))
    path = KeyPath(None, parse_key_id("k"))
    attempt = Attempt("ECDSA", 3, "192.0.2.1", core.clock, caller, path, algorithms.SIGN)
    counts.use(attempt)
    (made,) = counts.take(everything=True)
    counts.use_withdrawn(attempt, UNFIT)
    (told,) = counts.take(everything=True)
    assert (made.count, made.outcome) == (3, "")
    reason = f"This use was counted before, and not made: {UNFIT}"
    assert (told.count, told.outcome) == (3, reason)


async def test_without_uses_the_journal_has_none_that_failed(core: Core) -> None:
    await core.generate("k", "EC_P256", "ECDSA_Signature")
    await core.add_user("op", "Operator")
    await core.request("PUT", "/config/journal", user=ADMIN, json={"uses": "off"})
    answer = await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SHORT)
    assert answer.status == 400
    assert "sign" not in await actions(core)


async def test_lock_and_unlock_are_entries(core: Core) -> None:
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    assert (await core.request("GET", "/journal", user=AUDITOR)).status == 412
    core.clock.advance(2)
    assert (await core.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204
    seen = [action for action in await actions(core) if action != "requests"]
    assert seen[-5:] == ["POST /lock", "checkpoint", "journal opened", "POST /unlock", "checkpoint"]


async def test_entries_are_read_from_any_number_on(core: Core) -> None:
    whole = await journal(core)
    some = await journal(core, "?from=3&limit=2")
    assert some[0] == {"anchor": 2, "chain": whole[1]["chain"]}
    assert some[1:] == whole[2:4]


async def test_an_auditor_deletes_entries_before_a_checkpoint(core: Core) -> None:
    whole = await journal(core)
    answer = await core.request("DELETE", "/journal?upto=3", user=AUDITOR)
    assert answer.status == 204, answer
    left = await journal(core)
    assert left[0] == {"anchor": 3, "chain": whole[2]["chain"]}
    assert left[1] == whole[3]
    cut = next(one for one in left if one.get("action") == "cut")
    assert (cut["upto"], cut["who"]) == (3, "auditor")


async def test_uses_are_each_an_entry_or_none_if_so_configured(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    await core.add_user("op", "Operator")
    for uses, expected in (("each", 2), ("off", 2), ("counted", 3)):
        answer = await core.request("PUT", "/config/journal", user=ADMIN, json={"uses": uses})
        assert answer.status == 204
        for _ in range(2):
            await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
        assert (await actions(core)).count("sign") == expected, uses
    shown = (await core.request("GET", "/config/journal", user=ADMIN)).json()
    assert shown == {"uses": "counted", "whenFull": "overwrite", "maxBytes": 2**28}


@pytest.mark.parametrize(
    "wanted",
    [{"uses": "some"}, {"whenFull": "stop"}, {"maxBytes": 1}, {"maxBytes": "1"}, {"other": 1}],
)
async def test_wrong_settings_are_400(core: Core, wanted: dict[str, Any]) -> None:
    answer = await core.request("PUT", "/config/journal", user=ADMIN, json=wanted)
    assert answer.status == 400


@pytest.mark.parametrize(
    "number", ["0", "x", "-1", "", "²", "9007199254740993", "0" * 19 + "1" + "0" * 30, "1" * 1000]
)
async def test_wrong_numbers_are_400(core: Core, number: str) -> None:
    for name in ("from", "limit"):
        assert (await core.request("GET", f"/journal?{name}={number}", user=AUDITOR)).status == 400


@pytest.mark.parametrize("query", ["", "?upto=", "?upto=0", "?upto=999999"])
async def test_what_cannot_be_deleted_is_400(core: Core, query: str) -> None:
    before = len(await journal(core))
    assert (await core.request("DELETE", "/journal" + query, user=AUDITOR)).status == 400
    assert len(await journal(core)) >= before


async def test_a_deletion_may_end_anywhere_and_be_repeated(core: Core) -> None:
    for upto in (1, 1, 4, 5, 9):
        assert (await core.request("DELETE", f"/journal?upto={upto}", user=AUDITOR)).status == 204
        assert (await journal(core))[0]["anchor"] == upto
    await verified(core)


async def test_others_do_not_wait_for_the_end_of_a_long_deletion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal_writer, "_MOST_CUT", 1)
    core = await start_core(store=(store := DetachedStore()))
    await core.provision()
    auditor = await core.add_user("auditor", "Auditor")
    for number in range(5):  # A block each.
        await core.request("PUT", f"/namespaces/n{number}", user=ADMIN)
        await core.hsm.audit.try_write()
    await core.hsm.audit.try_write_signed()
    is_cutting, may_cut = store.hold_next_commit()
    deleting = asyncio.create_task(core.request("DELETE", "/journal?upto=6", user=auditor))
    await is_cutting.wait()  # The entry that says so.
    is_removing, may_remove = store.hold_next_commit()
    may_cut.set()
    await is_removing.wait()
    reading = asyncio.create_task(core.request("GET", "/journal/head", user=ADMIN))
    _ = await asyncio.wait([reading], timeout=0.05)
    may_remove.set()
    assert (await reading).status == 200
    assert not deleting.done()
    assert (await deleting).status == 204
    entries = (await core.request("GET", "/journal", user=ADMIN)).body
    assert json.loads(entries.splitlines()[0])["anchor"] == 6
    core.close()


@pytest.mark.parametrize("deleted", [["auditor"], []])
async def test_an_auditor_who_is_deleted_while_entries_are_written_deletes_none(
    core: Core, monkeypatch: pytest.MonkeyPatch, deleted: list[str]
) -> None:
    writes, may_go_on = asyncio.Event(), asyncio.Event()
    write = core.hsm.audit.try_write_signed

    async def slow_write() -> None:
        await write()
        writes.set()
        await may_go_on.wait()

    await core.add_user("other", "Auditor")
    monkeypatch.setattr(core.hsm.audit, "try_write_signed", slow_write)
    removal = asyncio.create_task(core.request("DELETE", "/journal?upto=3", user=AUDITOR))
    await asyncio.wait_for(writes.wait(), 60)
    monkeypatch.undo()
    for user in deleted:
        assert (await core.request("DELETE", f"/users/{user}", user=ADMIN)).status == 204
    may_go_on.set()
    assert (await removal).status == (401 if deleted else 204)
    left = await journal(core, user=("other", "passphrase of other"))
    assert ("anchor" in left[0]) == (not deleted)


@pytest.mark.parametrize("query", ["?limit=2", "?from=2&limit=2", "?from=3&limit=2"])
async def test_a_part_begins_with_the_first_entry_that_is_left(core: Core, query: str) -> None:
    whole = await journal(core)
    assert (await core.request("DELETE", "/journal?upto=2", user=AUDITOR)).status == 204
    some = await journal(core, query)
    assert some == [{"anchor": 2, "chain": whole[1]["chain"]}, *whole[2:4]]


async def test_a_refused_use_is_an_entry_with_the_rule(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature", restrictions={"tags": ["t"]})
    await core.add_user("op", "Operator")
    for _ in range(2):
        await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
    (refused,) = [one for one in await journal(core) if one["action"] == "sign"]
    assert refused["outcome"] == "The key's tag restrictions do not allow this user."
    assert refused["count"] == 2


async def test_a_refused_request_has_the_same_path_as_one_that_was_made(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    await core.add_user("op", "Operator")
    assert (await core.request("DELETE", "/keys/k", user=OPERATOR)).status == 403
    (refused,) = [one for one in await journal(core) if one.get("outcome") == "403"]
    assert refused["action"] == "DELETE /keys/{key_id}"


async def test_unknown_callers_cannot_fill_the_journal(core: Core) -> None:
    before = len(await journal(core))
    for number in range(60):
        core.clock.advance(1.1 if number % 6 == 0 else 0)
        await core.request("GET", "/keys", client=f"192.0.2.{number}")
        await core.request("PUT", f"/keys/k{number}/label", client=f"192.0.2.{number}")
    entries = await journal(core)
    assert len(entries) <= before + 4
    assert [one["count"] for one in entries if one["action"] == "requests"] == [120]


async def test_a_change_that_is_refused_is_counted_for_its_user(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    for _ in range(3):
        await core.request("PUT", "/keys/k/label", user=ADMIN, json={"label": 1})
    (entry,) = [one for one in await journal(core) if one["action"] == "PUT /keys/{key_id}/label"]
    assert (entry["who"], entry["outcome"], entry["count"]) == ("admin", "400", 3)


async def test_a_key_that_was_made_is_named(core: Core) -> None:
    wanted = {"type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}
    made = await core.request("POST", "/keys/generate", user=ADMIN, json=wanted)
    (entry,) = [one for one in await journal(core) if one["action"] == "POST /keys/generate"]
    assert entry["key"] == made.json()["id"]


async def test_changes_at_once_are_all_there_and_in_one_chain(core: Core) -> None:
    for number in range(8):
        await core.generate(f"k{number}", "Curve25519", "EdDSA_Signature")

    async def label(number: int) -> None:
        for text in ("a", "b", "c"):
            path = f"/keys/k{number}/label"
            answer = await core.request("PUT", path, user=ADMIN, json={"label": text})
            assert answer.status == 204
            await core.hsm.audit.tick()

    await asyncio.gather(*(label(number) for number in range(8)))
    seen = [one["key"] for one in await verified(core) if one["action"].endswith("/label")]
    assert sorted(seen) == sorted(f"k{number}" for number in range(8) for _ in range(3))
    left = await core.store.list("/journal/open/", "/journal/open0", limit=9)
    assert left == []


async def test_a_stop_while_the_journal_is_written_closes_it() -> None:
    store = DetachedStore()
    core = await start_core(store=store)
    await core.provision()
    await core.add_user("one", "Operator")
    is_writing, may_write = store.hold_next_commit()
    ticking = asyncio.create_task(core.hsm.audit.tick())
    await is_writing.wait()
    _ = ticking.cancel()
    stopping = asyncio.create_task(core.hsm.stop())
    _ = await asyncio.wait([ticking, stopping], timeout=0.05)
    may_write.set()
    await stopping
    again = await core.restarted()
    answer = await again.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert answer.status == 204
    assert not any("the journal was not closed" in line for line in again.log_lines)
    core.close()


async def test_checkpoints_come_each_minute_with_entries_and_no_more(core: Core) -> None:
    await core.hsm.audit.tick()
    before = (await actions(core)).count("checkpoint")
    for _ in range(10):
        core.clock.advance(61)
        await core.hsm.audit.tick()
    assert (await actions(core)).count("checkpoint") == before
    await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
    core.clock.advance(61)
    await core.hsm.audit.tick()
    assert any("journal checkpoint" in line for line in core.log_lines)
    assert (await actions(core)).count("checkpoint") == before + 1


async def test_no_setting_of_the_log_keeps_checkpoints_from_its_receiver(core: Core) -> None:
    logging = {"ipAddress": "0.0.0.0", "port": 514, "logLevel": "error"}  # noqa: S104 - nowhere
    assert (await core.request("PUT", "/config/logging", user=ADMIN, json=logging)).status == 204
    await core.hsm.audit.tick()
    core.log_lines.clear()
    core.clock.advance(61)
    await core.hsm.audit.tick()
    assert [json.loads(line)["event"] for line in core.log_lines] == ["journal checkpoint"]
    logging["logLevel"] = "info"
    assert (await core.request("PUT", "/config/logging", user=ADMIN, json=logging)).status == 204


async def test_the_head_is_signed_and_in_the_export(core: Core) -> None:
    head = await core.request("GET", "/journal/head", user=AUDITOR)
    assert head.json() in await journal(core)
    assert (await core.request("GET", "/journal/head", user=AUDITOR)).body == head.body


async def exported(core: Core) -> list[bytes]:
    """Return the lines of an export that is read while changes are made and written."""
    parts = await core.hsm.audit.export(1, None)
    lines: list[bytes] = []
    await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
    await core.hsm.audit.try_write()
    async for part in parts:
        lines += part.splitlines(keepends=True)
        await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
        await core.hsm.audit.try_write()
    return lines


async def test_an_export_ends_with_a_checkpoint_while_the_journal_grows(core: Core) -> None:
    key = journal_verify.load_key(
        (await core.request("GET", "/journal/key.pem", user=AUDITOR)).body
    )
    for lines in await asyncio.gather(*(exported(core) for _ in range(8))):
        report = journal_verify.verify(lines, key)
        assert report.is_intact, report.faults
        assert json.loads(lines[-1])["action"] == "checkpoint"


async def test_entries_that_find_no_place_are_counted(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_counts, "MOST_EACH", 1)
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    await core.add_user("op", "Operator")
    await core.request("PUT", "/config/journal", user=ADMIN, json={"uses": "each"})
    for _ in range(4):
        await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
    entries = await verified(core)
    assert [one["count"] for one in entries if one["action"] == "not itemised"] == [3]


async def test_uses_whose_entry_finds_no_place_are_all_counted(core: Core) -> None:
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    await core.add_user("op", "Operator")
    for _ in range(3):
        await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
    core.clock.advance(USES_SECONDS)
    with pytest.MonkeyPatch.context() as full:
        full.setattr(audit, "MOST_UNWRITTEN", 0)
        await core.hsm.audit.tick()
    entries = await verified(core)
    assert [one["count"] for one in entries if one["action"] == "not itemised"] == [3]
    assert not any(one["action"] == "sign" for one in entries)


# --- what replaces the records --------------------------------------------------------------------


@pytest.mark.parametrize("source", ["the same HSM", "another HSM"])
async def test_the_journal_goes_on_after_a_restore(core: Core, source: str) -> None:
    core.hsm.tls.servers = Servers()
    other = core if source == "the same HSM" else await start_core()
    if other is not core:
        await other.provision()
        await other.add_user("auditor", "Auditor")
    backup = await other.add_user("backup", "Backup")
    assert await set_passphrase(other, PASSPHRASE) == 204
    file = await make(other, backup)
    before = await journal(core)
    pem = (await core.request("GET", "/journal/key.pem", user=AUDITOR)).body
    body = form(file, {"backupPassphrase": PASSPHRASE})
    core.clock.advance(2)
    path = "/system/restore"
    answer = await core.request("POST", path, user=ADMIN, body=body, headers=MULTIPART)
    assert answer.status == 204, answer
    if other is not core:
        core.clock.advance(2)
        again = await core.restarted()
        unlock = {"passphrase": UNLOCK}
        assert (await again.request("POST", "/unlock", json=unlock)).status == 204
        core = again
    entries = await verified(core)
    assert entries[: len(before)] == before
    assert "POST /system/restore" in [one["action"] for one in entries]
    assert (await core.request("GET", "/journal/key.pem", user=AUDITOR)).body == pem


async def test_a_backup_holds_nothing_of_the_journal(core: Core) -> None:
    backup = await core.add_user("backup", "Backup")
    assert await set_passphrase(core, PASSPHRASE) == 204
    await core.request("PUT", "/config/journal", user=ADMIN, json={"uses": "each"})
    await journal(core)
    other = await start_core()
    other.hsm.tls.servers = Servers()
    body = form(await make(core, backup), {"backupPassphrase": PASSPHRASE})
    answer = await other.request("POST", "/system/restore", body=body, headers=MULTIPART)
    assert answer.status == 204, answer
    assert await other.store.list("/journal", "/journal0", limit=1) == []
    core.clock.advance(2)
    other.clock.advance(2)
    assert (await other.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204
    entries = await verified(other)
    assert entries[0]["action"] == "journal opened"
    assert other.hsm.audit.settings.uses == "counted"
    other.close()


@pytest.mark.parametrize("action", ["reboot", "factory-reset", "shutdown"])
async def test_the_end_of_the_server_is_a_durable_entry_before_it_comes(
    core: Core, action: str
) -> None:
    assert (await core.request("POST", f"/system/{action}", user=ADMIN)).status == 204
    again = await core.restarted()
    core.clock.advance(2)
    assert (await again.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204
    assert f"POST /system/{action}" in [one["action"] for one in await verified(again)]


async def test_changes_do_not_wait_until_many_before_them_are_chained() -> None:
    store = WatchedStore()
    core = await start_core(store=store)
    await core.provision()
    chained = asyncio.Event()
    blocks = 0

    async def hold_blocks() -> None:
        nonlocal blocks
        if current_action() is None:
            blocks += 1
            await chained.wait()

    store.before_commit = hold_blocks
    for _ in range(audit.ENOUGH_WAITING + 50):
        await within(5, core.request("PUT", "/config/time", user=ADMIN, json=TIME))
    assert blocks == 1
    chained.set()
    await core.hsm.audit.try_write()
    entries = [one for one in await store.paths() if one.startswith("/journal/open/")]
    assert entries == []
    core.close()


async def test_so_many_changes_that_the_journal_cannot_keep_up_wait_for_it() -> None:
    store = WatchedStore()
    core = await start_core(store=store)
    await core.provision()
    chained = asyncio.Event()
    await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
    store.before_commit = lambda: chained.wait() if current_action() is None else None
    answered = 0
    while True:
        last = asyncio.create_task(core.request("PUT", "/config/time", user=ADMIN, json=TIME))
        for _ in range(50):
            await asyncio.sleep(0)
        if not last.done():
            break
        answered += 1
    assert audit.ENOUGH_WAITING < answered < audit.MOST_WAITING
    chained.set()
    assert (await last).status == 204
    core.close()
