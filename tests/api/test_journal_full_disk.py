"""The journal on a full disk: the oldest entries make room, or changes are refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.storage.backends.sqlite import SqliteStore
from tests.api.test_journal import verified
from tests.support.core import ADMIN, Core, start_core
from tests.support.small_disk import fill, small_disk

TIME = {"time": "2024-01-01T00:00:00Z"}
LABELS = 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, mebibytes=64) as mount:
        yield mount


async def furnished(store: SqliteStore, when_full: str) -> Core:
    core = await start_core(store=store)
    await core.provision()
    await core.add_user("auditor", "Auditor")
    for number in range(LABELS):
        await core.generate(f"k{number}", "Curve25519", "EdDSA_Signature", label="x")
    wanted = {"whenFull": when_full}
    answer = await core.request("PUT", "/config/journal", user=ADMIN, json=wanted)
    assert answer.status == 204
    for _ in range(120):
        core.clock.advance(61)
        await core.request("PUT", "/config/time", user=ADMIN, json=TIME)
        await core.hsm.audit.tick()
    return core


async def deleted_labels(core: Core) -> list[int]:
    return [
        (await core.request("DELETE", f"/keys/k{number}/label", user=ADMIN)).status
        for number in range(LABELS)
    ]


@pytest.mark.parametrize("when_full", ["overwrite", "refuse"])
def test_what_a_full_disk_does_is_as_configured(disk: Path, when_full: str) -> None:
    async def scenario() -> None:
        store = SqliteStore(disk / "keystead.db")
        core = await furnished(store, when_full)
        fill(disk)
        statuses = await deleted_labels(core)
        await core.hsm.audit.try_write()
        if when_full == "refuse":
            assert set(statuses) == {503}
            (disk / "fill").unlink()
            assert set(await deleted_labels(core)) == {204}
        assert set(statuses) == {204 if when_full == "overwrite" else 503}
        entries = await verified(core)
        labels = [
            one["key"]
            for one in entries
            if one.get("action") == "DELETE /keys/{key_id}/label" and one["outcome"] == "204"
        ]
        assert labels == [f"k{number}" for number in range(LABELS)]
        await core.hsm.stop()
        core.close()
        await store.close()

    asyncio.run(scenario())
