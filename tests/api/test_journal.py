"""The journal through the API: what is in it, and who reads and shortens it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from keystead.operations.audit import USES_SECONDS
from tests.support.core import ADMIN, UNLOCK, Core, Credentials, b64, start_core

AUDITOR = ("auditor", "passphrase of auditor")
OPERATOR = ("op", "passphrase of op")
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
