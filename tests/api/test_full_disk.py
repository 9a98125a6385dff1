"""A store that can be read and not written: changes are refused, and everything else goes on."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from keystead.errors import WriteRefused
from keystead.operations import audit, audit_counts, use_counters
from keystead.operations.use_counters import flush_counters_forever
from keystead.storage.key_value_store import Change, Check
from tests.api.test_doubtful_commits import CHANGES, OPERATOR, answers, arranged, furnished
from tests.support.core import ADMIN, UNLOCK, Core, b64
from tests.support.memory_store import MemoryStore

FULL = "The disk is full."
SIGN = {"mode": "ECDSA", "message": b64(bytes(32))}
BACKUP = ("backup", "passphrase of backup")
METRICS = ("metrics", "passphrase of metrics")


class FullStore(MemoryStore):
    """Takes so many more commits; None: all."""

    def __init__(self) -> None:
        super().__init__()
        self.room: int | None = None
        self.refused = 0
        self.commits = 0

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        if self.room == 0:
            self.refused += 1
            raise WriteRefused(FULL)
        if self.room is not None:
            self.room -= 1
        self.commits += 1
        return await super().commit(changes, checks=checks)


@pytest.fixture
def full(runner: asyncio.Runner) -> Iterator[Core]:
    """An HSM with keys and users, whose disk has become full."""
    store = FullStore()
    core = runner.run(furnished(store))
    store.room = 0
    yield core
    runner.run(core.hsm.stop())
    core.close()


async def status(core: Core, method: str, path: str, **request: Any) -> int:
    core.clock.advance(2)
    return (await core.request(method, path, **request)).status


def logged(core: Core, event: str) -> int:
    return sum(event in line for line in core.log_lines)


async def exposed(core: Core) -> str:
    accepted = {"accept": "text/plain"}
    return (await core.request("GET", "/metrics", user=METRICS, headers=accepted)).body.decode()


async def complaints(core: Core) -> list[dict[str, str]]:
    return (await core.request("GET", "/health/diagnose", user=ADMIN)).json()["clusterLogs"]


@pytest.mark.parametrize("row", sorted(CHANGES.keys() - {"POST /system/backup"}))
async def test_every_change_is_refused_each_time_and_made_once_there_is_room(row: str) -> None:
    store = FullStore()
    core = await furnished(store)
    path, request = await arranged(core, row)
    before = await answers(core)
    method = row.partition(" ")[0]
    store.room = 0
    for _ in range(3):
        core.clock.advance(2)
        answer = await core.request(method, path, **request)
        assert (answer.status, answer.message) == (503, FULL)
        assert answer.headers["Retry-After"] == "1"
    core.clock.advance(2)
    during = await answers(core)
    assert during.items() - before.items() <= {
        (name, value) for name, value in during.items() if "/health/diagnose" in name
    }
    store.room = None
    core.clock.advance(2)
    assert (await core.request(method, path, **request)).status < 300
    core.close()


async def test_whoever_has_not_logged_in_yet_logs_in_and_signs(full: Core) -> None:
    full.hsm.session.credentials.forget_all()
    full.hsm.session.keys.forget_all()
    assert await status(full, "POST", "/keys/k2/sign", user=OPERATOR, json=SIGN) == 200
    assert await status(full, "POST", "/random", user=OPERATOR, json={"length": 4}) == 200
    assert await status(full, "GET", "/keys", user=ADMIN) == 200


async def test_counters_that_cannot_be_written_stop_no_signatures(
    full: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_counters, "FLUSH_SECONDS", 0.001)
    flushing = asyncio.create_task(flush_counters_forever(full.hsm))
    for _ in range(50):
        assert await status(full, "POST", "/keys/k2/sign", user=OPERATOR, json=SIGN) == 200
        await asyncio.sleep(0.001)
    assert logged(full, "the store cannot write") == 1
    full.store.room = None
    async with asyncio.timeout(5):
        while not logged(full, "can write again"):  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.001)
    flushing.cancel()
    again = await full.restarted()
    assert await status(again, "POST", "/unlock", json={"passphrase": UNLOCK}) == 204
    assert (await again.request("GET", "/keys/k2", user=ADMIN)).json()["operations"] == 50


async def test_the_journal_is_written_again_after_a_disk_was_full(
    full: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "TICK_SECONDS", 0.001)
    assert await status(full, "POST", "/keys/k2/sign", user=OPERATOR, json=SIGN) == 200
    full.clock.advance(audit_counts.USES_SECONDS)
    refused = full.store.refused
    writing = asyncio.create_task(full.hsm.audit.run_forever(full.hsm.recovery.store_lost))
    async with asyncio.timeout(60):
        while full.store.refused < refused + 5 and not writing.done():  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.001)
    full.store.room = None
    commits = full.store.commits
    async with asyncio.timeout(60):
        while full.store.commits == commits and not writing.done():  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.001)
    assert not writing.done()
    assert logged(full, "the journal cannot be written") == 1
    writing.cancel()


async def test_the_alarm_is_in_log_metrics_and_diagnosis_and_ends_by_itself(
    full: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    full.store.room = None
    await full.add_user("metrics", "Metrics")
    assert "keystead_store_writable 1\n" in await exposed(full)
    full.store.room = 0
    for _ in range(3):
        assert await status(full, "DELETE", "/keys/k1", user=ADMIN) == 503
    assert logged(full, "the store cannot write") == 1
    assert "keystead_store_writable 0\n" in await exposed(full)
    assert await complaints(full) == [{"level": "error", "msg": FULL}]
    assert await status(full, "GET", "/health/ready") == 200
    full.store.room = None
    monkeypatch.setattr(use_counters, "FLUSH_SECONDS", 0.001)
    flushing = asyncio.create_task(flush_counters_forever(full.hsm))
    async with asyncio.timeout(5):
        while await complaints(full):  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.001)
    flushing.cancel()
    assert logged(full, "can write again") == 1
    assert "keystead_store_writable 1\n" in await exposed(full)


async def test_it_locks_and_unlocks(full: Core) -> None:
    assert await status(full, "POST", "/lock", user=ADMIN) == 204
    assert await status(full, "POST", "/unlock", json={"passphrase": UNLOCK}) == 204
    assert await status(full, "POST", "/keys/k2/sign", user=OPERATOR, json=SIGN) == 200


async def test_it_unlocks_with_a_deletion_half_done_that_nobody_can_reach(full: Core) -> None:
    full.store.room = 1
    assert await status(full, "DELETE", "/namespaces/ns", user=ADMIN) == 503
    caller = ("ns~admin", "passphrase of ns~admin")
    for _ in range(2):
        assert await status(full, "GET", "/keys", user=caller) == 403
        assert await status(full, "POST", "/lock", user=ADMIN) == 204
        assert await status(full, "POST", "/unlock", json={"passphrase": UNLOCK}) == 204


async def test_a_namespace_that_could_not_be_deleted_is_still_there(full: Core) -> None:
    assert await status(full, "DELETE", "/namespaces/ns", user=ADMIN) == 503
    caller = ("ns~admin", "passphrase of ns~admin")
    assert await status(full, "GET", "/keys", user=caller) == 200


async def test_a_backup_is_made(full: Core) -> None:
    assert await status(full, "POST", "/system/backup", user=BACKUP) == 200


async def test_a_restart_comes_up_and_unlocks(full: Core) -> None:
    again = await full.restarted()
    assert await status(again, "POST", "/unlock", json={"passphrase": UNLOCK}) == 204
    assert await status(again, "POST", "/keys/k2/sign", user=OPERATOR, json=SIGN) == 200
