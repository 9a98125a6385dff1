"""Provision, unlock, lock; the unlock passphrase; unattended boot; health in every state."""

import asyncio

import pytest

from tests.support.core import ADMIN, UNLOCK, Answer, Core, b64, start_core

PROVISION = {
    "unlockPassphrase": UNLOCK,
    "adminPassphrase": ADMIN[1],
    "systemTime": "2024-01-01T00:00:00Z",
}
SIGN = {"mode": "ECDSA", "message": b64(bytes(32))}


async def state(core: Core) -> str:
    answer = await core.request("GET", "/health/state")
    assert answer.status == 200
    return answer.json()["state"]


async def unlock(core: Core, passphrase: str = UNLOCK, client: str = "192.0.2.1") -> Answer:
    return await core.request("POST", "/unlock", json={"passphrase": passphrase}, client=client)


async def lock(core: Core) -> None:
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204


async def change(core: Core, **passphrases: object) -> Answer:
    return await core.request("PUT", "/config/unlock-passphrase", user=ADMIN, json=passphrases)


@pytest.fixture
def provisioned(runner: asyncio.Runner, fresh_core: Core) -> Core:
    """A core of this test's own, Operational."""
    runner.run(fresh_core.provision())
    return fresh_core


# --- provision -----------------------------------------------------------------------------------


async def test_provision_leads_to_operational_with_one_administrator(fresh_core: Core) -> None:
    assert await state(fresh_core) == "Unprovisioned"
    answer = await fresh_core.request("POST", "/provision", json=PROVISION)
    assert (answer.status, answer.body) == (204, b"")
    assert await state(fresh_core) == "Operational"
    users = await fresh_core.request("GET", "/users", user=ADMIN)
    assert users.json() == [{"user": "admin"}]
    shown = await fresh_core.request("GET", "/users/admin", user=ADMIN)
    assert shown.json() == {"realName": "admin", "role": "Administrator"}


@pytest.mark.parametrize(
    "changed",
    [
        {"unlockPassphrase": "x" * 9},
        {"unlockPassphrase": "x" * 201},
        {"adminPassphrase": "x" * 9},
        {"adminPassphrase": ""},
        {"systemTime": "yesterday"},
        {"systemTime": "2024-01-01T00:00:00+01:00"},
        {"systemTime": 0},
        {"unlockPassphrase": None},
        {"backupPassphrase": "x" * 10},
    ],
)
async def test_a_malformed_provisioning_is_400_and_nothing_happens(
    fresh_core: Core, changed: dict
) -> None:
    answer = await fresh_core.request("POST", "/provision", json=PROVISION | changed)
    assert answer.status == 400
    assert answer.message
    assert await state(fresh_core) == "Unprovisioned"


@pytest.mark.parametrize("missing", PROVISION)
async def test_every_field_of_provisioning_is_required(fresh_core: Core, missing: str) -> None:
    wanted = {name: value for name, value in PROVISION.items() if name != missing}
    answer = await fresh_core.request("POST", "/provision", json=wanted)
    assert answer.status == 400
    assert f"`{missing}`" in answer.message


async def test_a_second_provisioning_is_412_in_every_state(provisioned: Core) -> None:
    other = PROVISION | {"adminPassphrase": "another passphrase"}
    assert (await provisioned.request("POST", "/provision", json=other)).status == 412
    await lock(provisioned)
    assert (await provisioned.request("POST", "/provision", json=other)).status == 412
    restarted = await provisioned.restarted()
    assert (await restarted.request("POST", "/provision", json=other)).status == 412
    await unlock(restarted)
    assert (await restarted.request("GET", "/users", user=ADMIN)).status == 200


async def test_of_two_provisionings_at_once_one_wins(fresh_core: Core) -> None:
    passphrases = ["the first passphrase", "the second passphrase"]
    answers = await asyncio.gather(
        *(
            fresh_core.request("POST", "/provision", json=PROVISION | {"adminPassphrase": one})
            for one in passphrases
        )
    )
    assert sorted(answer.status for answer in answers) == [204, 412]
    winner = passphrases[[answer.status for answer in answers].index(204)]
    users = await fresh_core.request("GET", "/users", user=("admin", winner))
    assert users.status == 200


# --- lock, unlock --------------------------------------------------------------------------------


async def test_locked_nothing_of_the_domain_can_be_used(provisioned: Core) -> None:
    await provisioned.generate("key", "EC_P256", "ECDSA_Signature")
    await lock(provisioned)
    assert await state(provisioned) == "Locked"
    for method, path in [
        ("GET", "/keys"),
        ("GET", "/keys/key"),
        ("POST", "/keys/key/sign"),
        ("GET", "/users"),
        ("POST", "/random"),
        ("GET", "/metrics"),
        ("GET", "/config/time"),
        ("GET", "/namespaces"),
        ("POST", "/lock"),
    ]:
        answer = await provisioned.request(method, path, user=ADMIN)
        assert answer.status == 412, path
        assert answer.message
    assert provisioned.hsm.session is None


async def test_unlocked_all_is_there_again(provisioned: Core) -> None:
    await provisioned.generate("key", "EC_P256", "ECDSA_Signature", label="mine")
    operator = await provisioned.add_user("operator", "Operator")
    before = (await provisioned.request("GET", "/keys/key", user=ADMIN)).body
    await lock(provisioned)
    answer = await unlock(provisioned)
    assert (answer.status, answer.body) == (204, b"")
    assert await state(provisioned) == "Operational"
    assert (await provisioned.request("GET", "/keys/key", user=ADMIN)).body == before
    signed = await provisioned.request("POST", "/keys/key/sign", user=operator, json=SIGN)
    assert signed.status == 200


async def test_unlocking_what_is_not_locked_is_412(fresh_core: Core) -> None:
    assert (await unlock(fresh_core)).status == 412
    await fresh_core.provision()
    assert (await unlock(fresh_core)).status == 412


async def test_a_restart_comes_up_locked(provisioned: Core) -> None:
    restarted = await provisioned.restarted()
    assert await state(restarted) == "Locked"
    assert (await unlock(restarted)).status == 204


async def test_a_wrong_passphrase_is_403_and_its_address_waits_a_second(
    provisioned: Core,
) -> None:
    await lock(provisioned)
    assert (await unlock(provisioned, "not the passphrase")).status == 403
    answer = await unlock(provisioned)
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "1"
    provisioned.clock.advance(0.9)
    assert (await unlock(provisioned)).status == 429
    assert await state(provisioned) == "Locked"
    provisioned.clock.advance(0.2)
    assert (await unlock(provisioned)).status == 204


async def test_another_address_may_unlock_meanwhile(provisioned: Core) -> None:
    await lock(provisioned)
    assert (await unlock(provisioned, "not the passphrase")).status == 403
    assert (await unlock(provisioned, client="192.0.2.2")).status == 204


@pytest.mark.parametrize("passphrase", ["", "short", "x" * 201])
async def test_a_passphrase_of_a_wrong_length_is_400_and_counts(
    provisioned: Core, passphrase: str
) -> None:
    await lock(provisioned)
    assert (await unlock(provisioned, passphrase)).status == 400
    assert (await unlock(provisioned)).status == 429


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"passphrase":1}', b'{"x":"0123456789"}'])
async def test_a_malformed_unlock_is_400_and_does_not_count(provisioned: Core, body: bytes) -> None:
    await lock(provisioned)
    assert (await provisioned.request("POST", "/unlock", body=body)).status == 400
    assert (await unlock(provisioned)).status == 204


# --- the unlock passphrase -----------------------------------------------------------------------


async def test_after_a_change_only_the_new_unlock_passphrase_opens(provisioned: Core) -> None:
    await provisioned.generate("key", "EC_P256", "ECDSA_Signature")
    new = "a new unlock passphrase"
    answer = await change(provisioned, newPassphrase=new, currentPassphrase=UNLOCK)
    assert (answer.status, answer.body) == (204, b"")
    restarted = await provisioned.restarted()
    assert (await unlock(restarted)).status == 403
    restarted.clock.advance(1)
    assert (await unlock(restarted, new)).status == 204
    assert (await restarted.request("GET", "/keys/key", user=ADMIN)).status == 200


@pytest.mark.parametrize("current", ["0123456789", "short", "", "x" * 201])
async def test_a_wrong_current_passphrase_is_403_and_then_429(
    provisioned: Core, current: str
) -> None:
    wanted = {"newPassphrase": "a new unlock passphrase"}
    assert (await change(provisioned, currentPassphrase=current, **wanted)).status == 403
    assert (await change(provisioned, currentPassphrase=UNLOCK, **wanted)).status == 429
    provisioned.clock.advance(1)
    await lock(provisioned)
    assert (await unlock(provisioned)).status == 204


@pytest.mark.parametrize(
    "passphrases",
    [
        {"newPassphrase": "short", "currentPassphrase": UNLOCK},
        {"newPassphrase": "x" * 201, "currentPassphrase": UNLOCK},
        {"newPassphrase": "0123456789"},
        {"currentPassphrase": UNLOCK},
        {"passphrase": "0123456789"},
        {"newPassphrase": None, "currentPassphrase": UNLOCK},
    ],
)
async def test_a_malformed_change_is_400_and_the_old_passphrase_stays(
    provisioned: Core, passphrases: dict
) -> None:
    answer = await change(provisioned, **passphrases)
    assert answer.status == 400
    assert answer.message
    await lock(provisioned)
    assert (await unlock(provisioned)).status == 204


async def test_an_operator_does_not_change_it(provisioned: Core) -> None:
    operator = await provisioned.add_user("operator", "Operator")
    wanted = {"newPassphrase": "0123456789", "currentPassphrase": UNLOCK}
    answer = await provisioned.request(
        "PUT", "/config/unlock-passphrase", user=operator, json=wanted
    )
    assert answer.status == 403


async def test_a_change_that_lock_overtakes_is_made_or_refused_as_a_whole(
    provisioned: Core,
) -> None:
    new = "a new unlock passphrase"
    changed, locked = await asyncio.gather(
        change(provisioned, newPassphrase=new, currentPassphrase=UNLOCK),
        provisioned.request("POST", "/lock", user=ADMIN),
    )
    assert (changed.status, locked.status) == (204, 204)
    assert (await unlock(provisioned, new)).status == 204


# --- unattended boot -----------------------------------------------------------------------------


async def set_unattended(core: Core, status: object) -> Answer:
    path = "/config/unattended-boot"
    return await core.request("PUT", path, user=ADMIN, json={"status": status})


async def unattended(core: Core) -> dict:
    return (await core.request("GET", "/config/unattended-boot", user=ADMIN)).json()


async def test_with_unattended_boot_a_restart_comes_up_operational(provisioned: Core) -> None:
    assert await unattended(provisioned) == {"status": "off"}
    for _ in range(2):
        assert (await set_unattended(provisioned, "on")).status == 204
        assert await unattended(provisioned) == {"status": "on"}
    restarted = await provisioned.restarted()
    assert await state(restarted) == "Operational"
    assert await unattended(restarted) == {"status": "on"}

    for _ in range(2):
        assert (await set_unattended(restarted, "off")).status == 204
        assert await unattended(restarted) == {"status": "off"}
    assert await state(await restarted.restarted()) == "Locked"


async def test_with_unattended_boot_lock_still_locks(provisioned: Core) -> None:
    await set_unattended(provisioned, "on")
    await lock(provisioned)
    assert await state(provisioned) == "Locked"
    assert (await unlock(provisioned)).status == 204


async def test_unattended_boot_outlives_a_new_unlock_passphrase(provisioned: Core) -> None:
    await set_unattended(provisioned, "on")
    await change(provisioned, newPassphrase="0123456789", currentPassphrase=UNLOCK)
    assert await state(await provisioned.restarted()) == "Operational"


@pytest.mark.parametrize("status", ["ON", "", True, None, 1, ["on"]])
async def test_unattended_boot_is_on_or_off(provisioned: Core, status: object) -> None:
    answer = await set_unattended(provisioned, status)
    assert answer.status == 400
    assert answer.message
    assert await unattended(provisioned) == {"status": "off"}


async def test_unattended_boot_is_switched_from_what_the_client_saw_or_not_at_all(
    provisioned: Core,
) -> None:
    async def put(status: str, **headers: str) -> int:
        path, wanted = "/config/unattended-boot", {"status": status}
        answer = await provisioned.request("PUT", path, user=ADMIN, json=wanted, headers=headers)
        return answer.status

    seen = await provisioned.request("GET", "/config/unattended-boot", user=ADMIN)
    tag = seen.headers["ETag"]
    assert await put("on", **{"if-none-match": tag}) == 412
    assert await put("on", **{"if-match": tag}) == 204
    assert await put("off", **{"if-match": tag}) == 412
    assert await unattended(provisioned) == {"status": "on"}
    assert await put("off", **{"if-none-match": tag}) == 204
    assert await unattended(provisioned) == {"status": "off"}


# --- health --------------------------------------------------------------------------------------


async def health(core: Core) -> dict[str, int]:
    return {
        name: (await core.request("GET", f"/health/{name}")).status for name in ("alive", "ready")
    }


async def test_alive_and_ready_say_which_of_the_two_it_is(fresh_core: Core) -> None:
    waiting, working = {"alive": 200, "ready": 412}, {"alive": 412, "ready": 200}
    assert await health(fresh_core) == waiting
    await fresh_core.provision()
    assert await health(fresh_core) == working
    await lock(fresh_core)
    assert await health(fresh_core) == waiting


async def test_info_names_vendor_and_product(fresh_core: Core) -> None:
    answer = await fresh_core.request("GET", "/info")
    assert answer.status == 200
    assert set(answer.json()) == {"vendor", "product"}


# --- what an Administrator asks of the machine ---------------------------------------------------


def asked_of(core: Core) -> list[str]:
    """Return what the machine will have been asked for."""
    wanted: list[str] = []

    async def note(action: str) -> None:
        wanted.append(action)

    core.hsm.actions.carry_out = note
    return wanted


@pytest.mark.parametrize("action", ["reboot", "shutdown", "factory-reset"])
async def test_the_machine_is_asked_for_what_an_administrator_wants(
    provisioned: Core, action: str
) -> None:
    wanted = asked_of(provisioned)
    operator = await provisioned.add_user("operator", "Operator")
    assert (await provisioned.request("POST", f"/system/{action}", user=operator)).status == 403
    assert (await provisioned.request("POST", f"/system/{action}")).status == 401
    assert wanted == []
    answer = await provisioned.request("POST", f"/system/{action}", user=ADMIN)
    assert (answer.status, answer.body) == (204, b"")
    assert wanted == [action]


async def test_locked_only_shutdown_is_open_and_to_the_unlock_passphrase(
    provisioned: Core,
) -> None:
    wanted = asked_of(provisioned)
    await lock(provisioned)
    for action in ("reboot", "factory-reset"):
        assert (await provisioned.request("POST", f"/system/{action}", user=ADMIN)).status == 412
    for user in (None, ADMIN, ("unlock", "wrong passphrase")):
        assert (await provisioned.request("POST", "/system/shutdown", user=user)).status == 401
        provisioned.clock.advance(1)
    assert wanted == []
    owner = ("unlock", UNLOCK)
    assert (await provisioned.request("POST", "/system/shutdown", user=owner)).status == 204
    assert wanted == ["shutdown"]


async def test_unprovisioned_anyone_may_shut_down_who_may_provision(fresh_core: Core) -> None:
    wanted = asked_of(fresh_core)
    assert (await fresh_core.request("POST", "/system/shutdown")).status == 204
    assert wanted == ["shutdown"]


async def test_with_open_shutdown_a_locked_hsm_is_shut_down_by_anyone() -> None:
    core = await start_core(open_shutdown=True)
    await core.provision()
    wanted = asked_of(core)
    assert (await core.request("POST", "/system/shutdown")).status == 401
    await lock(core)
    assert (await core.request("POST", "/system/shutdown")).status == 204
    assert wanted == ["shutdown"]
    core.close()
