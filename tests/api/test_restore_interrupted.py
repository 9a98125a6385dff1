"""Restores that something comes between: a crash at any commit, another request, a client gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keystead.api.dispatch import Dispatcher
from keystead.errors import StaleRevision
from keystead.operations.caller_context import CallerContext
from keystead.wire.edge_messages import Request
from tests.support.backups import (
    MULTIPART,
    PASSPHRASE,
    contents,
    form,
    furnished,
    make,
    restore,
    started,
    swept,
    unlock,
)
from tests.support.core import ADMIN, UNLOCK, Answer, Core, WholeBody, basic
from tests.support.memory_store import MemoryStore
from tests.support.stores import Crash, WatchedStore


class CrashingStore(MemoryStore):
    """Ends the process before one commit, or right after it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9
        self.is_late = False

    async def commit(self, changes: Any, *, checks: Any = ()) -> int:
        self.left -= 1
        if self.left == 0 and not self.is_late:
            raise Crash
        revision = await super().commit(changes, checks=checks)
        if self.left == 0:
            raise Crash
        return revision


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_commit_leaves_the_old_records_or_the_new_ones(is_late, monkeypatch):
    monkeypatch.setattr("keystead.operations.restore.BATCH_RECORDS", 3)
    core, backup, _ = await furnished()
    file = await make(core, backup)
    outcomes = set()
    for commits in range(1, 20):
        store = CrashingStore()
        other = await started(store=store)
        await other.provision()
        await other.generate("own", "Curve25519", "EdDSA_Signature")
        store.left, store.is_late = commits, is_late
        answer = await restore(other, file, ADMIN)
        store.left = 10**9
        again = await other.restarted()
        await swept(again)
        assert await unlock(again) == 204
        has_new = (await again.request("GET", "/keys/mine", user=ADMIN)).status == 200
        has_old = (await again.request("GET", "/keys/own", user=ADMIN)).status == 200
        assert has_new != has_old
        generations = {path.split("/")[1] for path in await contents(store)} - {
            "local",
            "generation",
        }
        assert len(generations) == 1
        outcomes.add((has_new, answer.status))
        other.close()
        if answer.status == 204:
            break
    assert (False, 500) in outcomes
    assert (True, 204) in outcomes
    core.close()


async def test_one_restore_at_a_time():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    async with other.hsm.succession.next_generation(lambda: False):
        answer = await restore(other, file)
        assert (answer.status, "Another restore" in answer.message) == (409, True)
    assert (await restore(other, file)).status == 204
    core.close()
    other.close()


async def test_a_restore_that_provisioning_overtakes_changes_nothing():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    body = form(file, {"backupPassphrase": PASSPHRASE})

    class Slow(WholeBody):
        async def parts(self, _limit: int) -> AsyncIterator[bytes]:
            yield body[:-200]
            await other.provision()
            yield body[-200:]

    request = Request(1, "POST", "/api/v1/system/restore", "", MULTIPART, "192.0.2.1", b"", None)
    response = await Dispatcher(other.hsm).answer(request, Slow(b""))
    assert (response.status, other.hsm.state.value) == (412, "Operational")
    assert (await other.request("GET", "/keys", user=ADMIN)).json() == []
    core.close()
    other.close()


async def test_a_lock_that_comes_while_the_file_arrives_stands():
    core, backup, _ = await furnished()
    body = form(await make(core, backup), {"backupPassphrase": PASSPHRASE})

    class Slow(WholeBody):
        async def parts(self, _limit: int) -> AsyncIterator[bytes]:
            yield body[:-200]
            await core.hsm.lock()
            yield body[-200:]

    headers = {**MULTIPART, "authorization": basic(ADMIN)}
    request = Request(1, "POST", "/api/v1/system/restore", "", headers, "192.0.2.1", b"", None)
    response = await Dispatcher(core.hsm).answer(request, Slow(b""))
    assert (response.status, core.hsm.state.value) == (412, "Locked")
    core.close()


async def test_unattended_boot_is_not_turned_on_for_a_domain_key_that_was_replaced():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    await other.provision()
    session = other.hsm.session
    key = session.require_domain_key()
    caller = await session.credentials.authenticate(basic(ADMIN), "192.0.2.1")
    context = CallerContext(session, caller, "192.0.2.1", other.hsm.time.now)
    assert (await restore(other, file, ADMIN)).status == 204
    # As if the request had read all of this before, and went on only now.
    session.ended = False
    session._domain_key = key  # noqa: SLF001
    with pytest.raises(StaleRevision):
        await other.hsm.unattended_boot.turn_on(context)
    again = await other.restarted()
    assert again.hsm.state.value == "Locked"
    core.close()
    other.close()


async def test_a_client_that_goes_away_leaves_nothing_behind():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    before = await contents(other.store)
    body = form(file, {"backupPassphrase": PASSPHRASE})

    class Gone(WholeBody):
        async def parts(self, _limit: int) -> AsyncIterator[bytes]:
            yield body[:-200]
            raise asyncio.CancelledError

    request = Request(1, "POST", "/api/v1/system/restore", "", MULTIPART, "192.0.2.1", b"", None)
    with pytest.raises(asyncio.CancelledError):
        await Dispatcher(other.hsm).answer(request, Gone(b""))
    await swept(other)
    assert await contents(other.store) == before
    assert (await restore(other, file)).status == 204
    core.close()
    other.close()


# --- requests that wait for the restore, which waits for requests ---------------------------------

DROPPED = "keys were dropped while requests were running"
NEW_PASSPHRASE = "another passphrase"


async def switching(core: Core, file: bytes, *, turns: int = 0) -> asyncio.Task[Answer]:
    """Return a restore that holds the lock for changes of the state."""
    task = asyncio.create_task(restore(core, file, ADMIN))
    async with asyncio.timeout(5):
        while not core.hsm.changing.locked():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/system/backup", None),
        (
            "PUT",
            "/config/backup-passphrase",
            {"newPassphrase": NEW_PASSPHRASE, "currentPassphrase": PASSPHRASE},
        ),
        (
            "PUT",
            "/config/unlock-passphrase",
            {"newPassphrase": NEW_PASSPHRASE, "currentPassphrase": UNLOCK},
        ),
        ("PUT", "/config/unattended-boot", {"status": "on"}),
        ("PUT", "/config/unattended-boot", {"status": "off"}),
    ],
)
async def test_a_restore_does_not_wait_for_a_request_that_waits_for_it(method, path, body):
    core, backup, _ = await furnished(store=WatchedStore())
    file = await make(core, backup)
    task = await switching(core, file)
    user = backup if path == "/system/backup" else ADMIN
    answer = await core.request(method, path, user=user, json=body)
    assert (answer.status, (await task).status) == (412, 204)
    assert not any(DROPPED in line for line in core.log_lines)
    assert core.hsm.state.value == "Operational"
    assert not await core.hsm.unattended_boot.is_on()
    core.clock.advance(2)
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    assert await unlock(core) == 204, "the unlock passphrase has not changed"
    core.close()


async def test_a_restore_and_a_lock_do_not_wait_for_each_other():
    core, backup, _ = await furnished(store=WatchedStore())
    file = await make(core, backup)
    outcomes = set()
    for turns in range(0, 60, 3):
        task = await switching(core, file, turns=turns)
        lock = await core.request("POST", "/lock", user=ADMIN)
        outcomes.add((lock.status, (await task).status))
        if core.hsm.state.value == "Locked":
            core.clock.advance(2)
            assert await unlock(core) == 204
    assert (204, 204) in outcomes
    assert outcomes <= {(204, 204), (204, 412), (412, 204)}
    assert not any(DROPPED in line for line in core.log_lines)
    core.close()
