"""The journal on a full disk: the oldest entries make room, or changes are refused."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from keystead.errors import WriteRefused
from keystead.storage.backends.sqlite import SqliteStore
from tests.api.test_journal import verified
from tests.api.test_policies import set_policy, shown, sign_many
from tests.support.core import ADMIN, Core, Credentials, start_core
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


EXACT, LEASED = "exact", "leased"
LIMITS = {EXACT: 40, LEASED: 5000}
"""Each use of the first is written. Of the second, some hundred uses are leased at once."""
BATCHES = {EXACT: 1, LEASED: 50}


async def with_limited_keys(store: SqliteStore, when_full: str) -> tuple[Core, Credentials]:
    core = await furnished(store, when_full)
    user = await core.add_user("op", "Operator")
    for key, limit in LIMITS.items():
        await core.generate(key, "EC_P256", "ECDSA_Signature")
        await set_policy(core, key, maxUses=limit)
    return core, user


async def used(core: Core, user: Credentials, key: str, requests: int) -> int:
    """Use a key by so many requests, four at a time. Return the number of uses."""
    batch, done = BATCHES[key], 0
    for _ in range(requests // 4):
        some = (sign_many(core, key, user, batch) for _ in range(4))
        done += batch * [one.status for one in await asyncio.gather(*some)].count(200)
        core.clock.advance(11)
        with suppress(WriteRefused):
            await core.hsm.audit.tick()
    return done


async def recorded(core: Core, key: str) -> int:
    """Return how many uses of a key the journal has."""
    core.clock.advance(11)
    entries = await verified(core)
    uses = [one for one in entries if (one.get("action"), one.get("key")) == ("sign", key)]
    return sum(one.get("count", 1) for one in uses if "outcome" not in one)


@pytest.mark.parametrize("when_full", ["overwrite", "refuse"])
def test_uses_with_a_limit_go_on_or_stop_on_a_full_disk_and_each_is_recorded(
    disk: Path, when_full: str
) -> None:
    async def scenario() -> None:
        store = SqliteStore(disk / "keystead.db")
        core, user = await with_limited_keys(store, when_full)
        before = {key: await used(core, user, key, 8) for key in LIMITS}
        fill(disk)
        full = {key: await used(core, user, key, 16) for key in LIMITS}
        if when_full == "refuse":  # From the first entry on that cannot be written.
            assert full == {EXACT: 4, LEASED: 0}
        else:
            assert full == {EXACT: 16, LEASED: 800}
        (disk / "fill").unlink()
        for key, limit in LIMITS.items():
            left = limit - before[key] - full[key]
            assert (await shown(core, key))["usesLeft"] == left
            assert await used(core, user, key, 200) == left
            assert await recorded(core, key) == limit
        await core.hsm.stop()
        core.close()
        await store.close()

    asyncio.run(scenario())
