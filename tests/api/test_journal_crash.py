"""A crash at each commit: what was changed has an entry, and what has an entry was changed."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from keystead import journal_verify
from keystead.errors import WriteRefused
from keystead.storage.backends.split import SplitStore
from keystead.storage.key_value_store import Change, Check
from tests.support.core import ADMIN, UNLOCK, Core, b64, start_core
from tests.support.journal_reader import is_journal
from tests.support.memory_store import MemoryStore

AUDITOR = ("auditor", "passphrase of auditor")
OPERATOR = ("op", "passphrase of op")
SIGN = {"mode": "EdDSA", "message": b64(b"message")}
LEAST = 64 * 1024


class TracedStore(MemoryStore):
    """Keeps what was committed, so that any prefix can be replayed; it can be full."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[list[Change]] = []
        self.is_full = False

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        if self.is_full:
            self._require_no_growth(changes)
        revision = await super().commit(changes, checks=checks)
        self.commits.append([Change(one.path, one.value) for one in changes])
        return revision

    def _require_no_growth(self, changes: Sequence[Change]) -> None:
        """Refuse what the store on a full disk refuses."""
        growth = 0 if changes else 129
        for change in changes:
            old = self._entries.get(change.path)
            growth += len(change.value or b"") - (0 if old is None else len(old.value))
        if growth > 128:
            raise WriteRefused("The disk is full.")

    async def after(self, commits: int) -> "TracedStore":
        """Return a store after a crash that has left so many commits."""
        store = TracedStore()
        for changes in self.commits[:commits]:
            await store.commit(changes)
        return store


class Side(MemoryStore):
    """One of two stores, which keeps the order of the commits to both."""

    def __init__(self, commits: list[tuple[int, list[Change]]], number: int) -> None:
        super().__init__()
        self._commits = commits
        self._number = number

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        revision = await super().commit(changes, checks=checks)
        kept = [Change(one.path, one.value) for one in changes]
        self._commits.append((self._number, kept))
        return revision


class TracedPair(SplitStore):
    """The store of a member of a cluster, as TracedStore."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, list[Change]]] = []
        self.sides = Side(self.commits, 0), Side(self.commits, 1)
        super().__init__(*self.sides, device="device")

    async def after(self, commits: int) -> "TracedPair":
        """Return both stores after a crash that has left so many commits to either."""
        pair = TracedPair()
        for number, changes in self.commits[:commits]:
            await pair.sides[number].commit(changes)
        return pair


async def prepared() -> tuple[Core, TracedStore]:
    store = TracedStore()
    return await prepared_on(store), store


async def prepared_on(store: TracedStore | TracedPair) -> Core:
    core = await start_core(store=store)
    await core.provision()
    await core.add_user("auditor", "Auditor")
    await core.add_user("op", "Operator")
    return core


async def unlocked(core: Core) -> None:
    core.clock.advance(2)
    answer = await core.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert answer.status == 204, answer


async def exported(core: Core) -> list[dict[str, Any]]:
    """Return the entries, which both verifiers have found to be intact."""
    core.clock.advance(2)
    content = (await core.request("GET", "/journal", user=AUDITOR)).body
    pem = (await core.request("GET", "/journal/key.pem", user=AUDITOR)).body
    head = (await core.request("GET", "/journal/head", user=AUDITOR)).body
    key = journal_verify.load_key(pem)
    lines = content.splitlines(keepends=True)
    report = journal_verify.verify(lines, key, head=journal_verify.load_head(head, key))
    assert report.is_intact, report.faults
    assert is_journal(content, pem, head)
    return [json.loads(line) for line in lines]


def made(entries: list[dict[str, Any]]) -> set[str]:
    """Return the keys that the journal says were made."""
    return {
        entry["key"] or entry["target"]
        for entry in entries
        if entry.get("action") == "PUT /keys/{key_id}/label"
    }


async def labelled(core: Core) -> set[str]:
    """Return the keys that have a label."""
    keys = [f"k{number}" for number in range(3)]
    answers = [await core.request("GET", f"/keys/{key}", user=ADMIN) for key in keys]
    return {key for key, answer in zip(keys, answers, strict=True) if answer.json().get("label")}


@pytest.mark.parametrize("new_store", [TracedStore, TracedPair])
async def test_after_a_crash_at_any_commit_changes_and_entries_are_the_same(
    new_store: type[TracedStore | TracedPair],
) -> None:
    store = new_store()
    core = await prepared_on(store)
    for number in range(3):
        await core.generate(f"k{number}", "Curve25519", "EdDSA_Signature")
    began = len(store.commits)
    for number in range(3):
        path = f"/keys/k{number}/label"
        assert (await core.request("PUT", path, user=ADMIN, json={"label": "x"})).status == 204
        await core.request("POST", f"/keys/k{number}/sign", user=OPERATOR, json=SIGN)
        core.clock.advance(11)
        await core.hsm.audit.tick()
    seen = set()
    for commits in range(began, len(store.commits) + 1):
        left = await store.after(commits)
        again = await start_core(
            store=left, device_key=core.device_key, clock=core.clock, pools=core.pools
        )
        await unlocked(again)
        entries = await exported(again)
        assert made(entries) == await labelled(again), commits
        opened = [one.get("outcome") for one in entries if one.get("action") == "journal opened"][
            -1:
        ]
        assert opened == ["not closed before: entries of the last seconds may be missing"]
        seen.add(len(made(entries)))
    assert seen == {0, 1, 2, 3}
    core.close()


async def test_an_orderly_stop_is_no_crash() -> None:
    core, _ = await prepared()
    await core.hsm.stop()
    again = await core.restarted()
    await unlocked(again)
    opened = [one for one in await exported(again) if one["action"] == "journal opened"]
    assert [one.get("outcome") for one in opened] == [None, None]
    core.close()


@pytest.mark.parametrize("name", ["head", "keys"])
async def test_journal_records_put_back_or_removed_are_said_at_the_next_unlock(name: str) -> None:
    core, store = await prepared()
    await core.hsm.audit.tick()
    old = dict(store._entries)  # noqa: SLF001 - what a stolen copy has
    await core.request("PUT", "/config/time", user=ADMIN, json={"time": "2024-01-01T00:00:00Z"})
    await core.hsm.stop()
    for path in [path for path in store._entries if path.startswith(f"/journal/{name}")]:  # noqa: SLF001
        value = old[path].value if path in old else None
        await store.commit([Change(path, None if name == "keys" else value)])
    again = await core.restarted()
    await unlocked(again)
    (*_, opened) = [one for one in await exported(again) if one["action"] == "journal opened"]
    assert opened["outcome"]
    assert any("journal was not closed" in line for line in again.log_lines)
    core.close()


async def test_the_record_of_an_action_that_does_not_open_is_said_and_stops_no_unlock() -> None:
    core, store = await prepared()
    (path, *_) = await store.list("/journal/open/", "/journal/open0", limit=9)
    await store.commit([Change(path, b"spoiled")])
    again = await core.restarted()
    await unlocked(again)
    outcomes = [one["outcome"] for one in await exported(again) if one["action"] == "interrupted"]
    assert outcomes == ["its record does not open"]
    assert await store.list("/journal/open/", "/journal/open0", limit=9) == []
    core.close()


# --- full -----------------------------------------------------------------------------------------


async def fill(core: Core) -> None:
    for number in range(40):
        for _ in range(10):
            await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
        core.clock.advance(61 + number)
        await core.hsm.audit.tick()


TIME = {"time": "2024-01-01T00:00:00Z"}


async def configure(core: Core, **wanted: Any) -> int:
    return (await core.request("PUT", "/config/journal", user=ADMIN, json=wanted)).status


async def test_a_full_journal_that_overwrites_loses_its_oldest_entries_and_says_so() -> None:
    core, _ = await prepared()
    assert await configure(core, maxBytes=LEAST, whenFull="overwrite") == 204
    await fill(core)
    entries = await exported(core)
    assert entries[0]["anchor"] > 1
    cuts = [one for one in entries if one.get("action") == "cut"]
    assert entries[0]["anchor"] == cuts[-1]["upto"]
    assert core.hsm.audit._writer.size <= 2 * LEAST  # noqa: SLF001
    core.close()


async def test_a_full_journal_that_refuses_waits_for_an_auditor() -> None:
    core, _ = await prepared()
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    assert await configure(core, maxBytes=LEAST, whenFull="refuse") == 204
    await fill(core)
    core.clock.advance(2)
    refused = await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
    assert (refused.status, "journal is full" in refused.message) == (503, True)
    used = await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
    assert (used.status, "journal is full" in used.message) == (503, True)
    head = (await core.request("GET", "/journal/head", user=AUDITOR)).json()
    answer = await core.request("DELETE", f"/journal?upto={head['n']}", user=AUDITOR)
    assert answer.status == 204, answer
    assert (await core.request("PUT", "/config/time", user=ADMIN, json=TIME)).status == 204
    assert (await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)).status == 200
    assert (await exported(core))[0]["anchor"] == head["n"]
    core.close()


async def test_a_use_that_a_full_journal_refuses_is_not_counted() -> None:
    core, _ = await prepared()
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    policy = {"maxUses": 5, "maxPerMinute": 1}
    answer = await core.request("PUT", "/keys/k/policy", user=ADMIN, json=policy)
    assert answer.status == 204, answer
    assert await configure(core, maxBytes=LEAST, whenFull="refuse") == 204
    await fill(core)
    for _ in range(3):
        used = await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
        assert (used.status, "journal is full" in used.message) == (503, True)
    shown = (await core.request("GET", "/keys/k/policy", user=ADMIN)).json()
    assert shown["usesLeft"] == 5
    core.close()


async def test_on_a_full_disk_an_overwriting_journal_makes_room_for_deletions() -> None:
    core, store = await prepared()
    for number in range(3):
        await core.generate(f"k{number}", "Curve25519", "EdDSA_Signature")
    for _ in range(200):
        core.clock.advance(61)
        await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
        await core.hsm.audit.tick()
    store.is_full = True
    for number in range(3):
        assert (await core.request("DELETE", f"/keys/k{number}", user=ADMIN)).status == 204
    await core.hsm.audit.try_write_signed()
    entries = await exported(core)
    deleted = [one["key"] for one in entries if one.get("action") == "DELETE /keys/{key_id}"]
    assert deleted == ["k0", "k1", "k2"]
    assert entries[0]["anchor"] > 1
    core.close()


async def test_on_a_full_disk_a_refusing_journal_refuses_deletions_too() -> None:
    core, store = await prepared()
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    assert await configure(core, whenFull="refuse") == 204
    path = "/keys/k/label"
    assert (await core.request("PUT", path, user=ADMIN, json={"label": "x"})).status == 204
    store.is_full = True
    assert (await core.request("DELETE", path, user=ADMIN)).status == 503
    assert (await core.request("GET", "/keys/k", user=ADMIN)).json()["label"] == "x"
    with pytest.raises(WriteRefused):
        await core.hsm.audit.tick()
    used = await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)
    assert (used.status, used.message) == (503, "The journal cannot be written. The disk is full.")
    store.is_full = False
    await core.hsm.audit.tick()
    assert (await core.request("DELETE", path, user=ADMIN)).status == 204
    core.close()


async def test_a_checkpoint_that_a_full_disk_refused_is_written_as_soon_as_there_is_space() -> None:
    core, store = await prepared()
    await core.generate("k", "Curve25519", "EdDSA_Signature")
    assert await configure(core, whenFull="refuse") == 204
    await core.hsm.audit.tick()
    store.is_full = True
    without = await core.request("GET", "/journal/head", user=AUDITOR)
    said = "The journal has no checkpoint yet. The disk is full."
    assert (without.status, without.message) == (503, said)
    assert (await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)).status == 503
    store.is_full = False
    await core.hsm.audit.tick()
    assert (await core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)).status == 200
    core.close()
