"""A self-test that fails stops the HSM: Failed, without its keys, until it is started anew."""

import asyncio
from functools import partial

import pytest

from keystead.operations import key_maker, random
from keystead.self_tests import round_trips
from keystead.self_tests.entropy import healthy_sample
from tests.support.core import ADMIN, Core, b64, start_core

REASON = "RSA verify PKCS1: The answer is not the known one."
P256 = {"id": "key", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}


async def state(core: Core) -> str:
    return (await core.request("GET", "/health/state")).json()["state"]


@pytest.fixture
def operational(runner, fresh_core: Core) -> Core:
    runner.run(fresh_core.provision())
    return fresh_core


@pytest.fixture
def inconsistent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every key signs is not valid."""
    found = round_trips.mechanism_of

    def mechanism_of(*of):
        row = found(*of)
        return type(row)(row.name, row.use, row.mode, lambda *_, **__: False)

    monkeypatch.setattr(round_trips, "mechanism_of", mechanism_of)


async def test_a_failure_at_start_is_the_state_failed(fresh_core: Core) -> None:
    core = await start_core(pools=fresh_core.pools, self_test_failure=REASON)
    assert await state(core) == "Failed"
    assert any("self-test failed" in line and REASON in line for line in core.log_lines)
    wanted = {"unlockPassphrase": "x" * 10, "adminPassphrase": "y" * 10, "systemTime": "2024"}
    assert (await core.request("POST", "/provision", json=wanted)).status == 412


async def test_a_failure_at_start_leaves_the_domain_key_closed(operational: Core) -> None:
    core = operational
    wanted = {"status": "on"}
    path = "/config/unattended-boot"
    assert (await core.request("PUT", path, user=ADMIN, json=wanted)).status == 204
    assert await state(await core.restarted()) == "Operational"
    failed = await start_core(
        store=core.store,
        device_key=core.device_key,
        clock=core.clock,
        pools=core.pools,
        unattended_key=core.unattended_key,
        self_test_failure=REASON,
    )
    assert await state(failed) == "Failed"
    assert failed.hsm.session is None
    assert (await failed.request("GET", "/keys", user=ADMIN)).status == 412
    # The next start, which passes, is as ever.
    assert await state(await core.restarted()) == "Operational"


@pytest.mark.usefixtures("inconsistent")
async def test_a_new_key_that_does_not_work_is_not_stored_and_stops_the_hsm(
    operational: Core,
) -> None:
    core = operational
    answer = await core.request("POST", "/keys/generate", user=ADMIN, json=P256)
    assert (answer.status, answer.message) == (500, "A signature of the key is not valid.")
    assert await state(core) == "Failed"
    assert (await core.request("GET", "/keys", user=ADMIN)).status == 412
    await asyncio.sleep(0)
    assert core.hsm.session is None
    again = await core.restarted()
    await again.request("POST", "/unlock", json={"passphrase": "unlockPassphrase"})
    assert (await again.request("GET", "/keys", user=ADMIN)).json() == []


@pytest.mark.usefixtures("inconsistent")
async def test_a_key_from_outside_that_does_not_work_is_refused_and_stops_nothing(
    operational: Core,
) -> None:
    wanted = {
        "type": "Curve25519",
        "mechanisms": ["EdDSA_Signature"],
        "private": {"data": b64(bytes(32))},
    }
    answer = await operational.request("PUT", "/keys/key", user=ADMIN, json=wanted)
    assert answer.status == 400
    assert answer.message == "The private key is not sound. A signature of the key is not valid."
    assert await state(operational) == "Operational"
    assert (await operational.request("GET", "/keys", user=ADMIN)).json() == []


@pytest.mark.parametrize("module", [random, key_maker])
async def test_a_source_of_chance_that_is_stuck_stops_the_hsm(
    operational: Core, monkeypatch: pytest.MonkeyPatch, module
) -> None:
    core = operational
    operator = await core.add_user("operator", "Operator")
    monkeypatch.setattr(module, "healthy_sample", partial(healthy_sample, bytes))
    if module is random:
        answer = await core.request("POST", "/random", user=operator, json={"length": 16})
    else:
        answer = await core.request("POST", "/keys/generate", user=ADMIN, json=P256)
    assert answer.status == 500
    assert "repetition count" in answer.message
    assert await state(core) == "Failed"


async def test_failed_stays_failed_whatever_the_store_does(operational: Core) -> None:
    core = operational
    core.hsm.recovery.store_lost()
    core.hsm.self_test_failed(REASON)
    core.hsm.recovery.store_lost()
    core.hsm.self_test_failed(REASON)
    await asyncio.sleep(1.5)
    assert await state(core) == "Failed"
