"""Each rule of a policy holds for each use of a private key, and each use is counted."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.api.test_policies import (
    DIGEST,
    USES,
    forbidden,
    new_key,
    set_policy,
    shown,
)
from tests.support.core import ADMIN, Answer, Core, Credentials, b64, start_core

APPROVED = {"approvals": {"required": 1, "approvers": ["ann"], "validSeconds": 60, "uses": 1}}
RULES = [
    ({"enabled": False}, "enabled"),
    ({"notBefore": "2100-01-01T00:00:00Z"}, "notBefore"),
    ({"notAfter": "2001-01-01T00:00:00Z"}, "notAfter"),
    ({"clients": ["198.51.100.0/24"]}, "clients"),
    ({"modes": []}, "modes"),
    (APPROVED, "approval"),
]
TO_ENCRYPT = {"mode": "AES_GCM", "message": DIGEST}
WORKING = [use for use in USES if use[2] != "decrypt"]


@pytest.fixture(scope="module")
def team(runner: asyncio.Runner) -> Iterator[tuple[Core, Credentials, Credentials]]:
    """A core, an Operator, and one that approves."""

    async def made() -> tuple[Core, Credentials, Credentials]:
        core = await start_core()
        await core.provision()
        return core, await core.add_user("op", "Operator"), await core.add_user("ann", "Operator")

    core, operator, approver = runner.run(made())
    yield core, operator, approver
    core.close()


async def use(core: Core, user: Credentials, key: str, verb: str, wanted: object) -> Answer:
    return await core.request("POST", f"/keys/{key}/{verb}", user=user, json=wanted)


@pytest.mark.parametrize(("policy", "rule"), RULES, ids=[rule for _, rule in RULES])
@pytest.mark.parametrize(("kind", "mechanism", "verb", "wanted"), USES)
async def test_each_rule_refuses_each_use(  # noqa: PLR0913, PLR0917 - two tables
    team: tuple[Core, Credentials, Credentials],
    kind: str,
    mechanism: str,
    verb: str,
    wanted: object,
    policy: dict[str, object],
    rule: str,
) -> None:
    core, operator, _ = team
    key = await new_key(core, mechanism, kind=kind)
    await set_policy(core, key, **policy)
    assert forbidden(await use(core, operator, key, verb, wanted), rule)
    count = (await core.request("GET", f"/keys/{key}", user=ADMIN)).json()["operations"]
    assert count == 0


@pytest.mark.parametrize("rule", ["maxUses", "maxPerMinute"])
@pytest.mark.parametrize(("kind", "mechanism", "verb", "wanted"), WORKING)
async def test_each_use_is_counted_and_the_next_one_refused(
    team: tuple[Core, Credentials, Credentials],
    kind: str,
    mechanism: str,
    verb: str,
    wanted: object,
    rule: str,
) -> None:
    core, operator, _ = team
    key = await new_key(core, mechanism, kind=kind)
    await set_policy(core, key, **{rule: 2})
    wave = await asyncio.gather(*(use(core, operator, key, verb, wanted) for _ in range(3)))
    assert sorted(answer.status for answer in wave)[2] == 403
    assert all(answer.status in {200, 201} or forbidden(answer, rule) for answer in wave)
    assert sum(answer.status in {200, 201} for answer in wave) == 2
    assert forbidden(await use(core, operator, key, verb, wanted), rule)


@pytest.mark.parametrize(("kind", "mechanism", "verb", "wanted"), WORKING)
async def test_an_approval_is_for_one_use_of_any_kind(
    team: tuple[Core, Credentials, Credentials],
    kind: str,
    mechanism: str,
    verb: str,
    wanted: object,
) -> None:
    core, operator, approver = team
    key = await new_key(core, mechanism, kind=kind)
    await set_policy(core, key, **APPROVED)
    asked = await use(core, operator, key, "approvals", {"reason": "once"})
    path = f"/approvals/{asked.json()['id']}/approve"
    assert (await core.request("POST", path, user=approver)).status == 204
    wave = await asyncio.gather(*(use(core, operator, key, verb, wanted) for _ in range(3)))
    assert sum(answer.status in {200, 201} for answer in wave) == 1
    assert sum(forbidden(answer, "approval") for answer in wave) == 2


async def test_a_decryption_is_counted_also_with_a_wrong_tag(
    team: tuple[Core, Credentials, Credentials],
) -> None:
    core, operator, _ = team
    key = await new_key(core, "AES_Encryption_GCM", "AES_Decryption_GCM", kind="Generic")
    parts = (await use(core, operator, key, "encrypt", TO_ENCRYPT)).json()
    await set_policy(core, key, maxUses=3)
    wanted = {"mode": "AES_GCM", **parts}
    wrong = wanted | {"tag": b64(bytes(16))}
    for content, expected in ((wanted, 200), (wrong, 400), (wanted, 200), (wrong, 403)):
        assert (await use(core, operator, key, "decrypt", content)).status == expected


async def test_uses_of_all_kinds_share_what_is_left_after_a_crash() -> None:
    core = await start_core()
    await core.provision()
    operator = await core.add_user("op", "Operator")
    key = await new_key(core, "HMAC_SHA256", "HKDF_SHA256", kind="Generic")
    await set_policy(core, key, maxUses=2000)
    uses = [
        ("sign", {"mode": "HMAC_SHA256", "message": DIGEST}, 1),
        ("sign", {"mode": "HMAC_SHA256", "messages": [DIGEST] * 300}, 300),
        ("verify", {"mode": "HMAC_SHA256", "message": DIGEST, "signature": DIGEST}, 1),
        ("derive", {"mode": "HKDF_SHA256", "length": 32}, 1),
    ]

    async def wave() -> int:
        answers = await asyncio.gather(*(use(core, operator, key, *one[:2]) for one in uses))
        return sum(
            one[2] for one, answer in zip(uses, answers, strict=True) if answer.status == 200
        )

    made = 0
    while used := await wave():
        made += used
        core = await core.restarted()  # What was leased and not used is lost.
        unlock = {"passphrase": "unlockPassphrase"}
        assert (await core.request("POST", "/unlock", json=unlock)).status == 204
        assert (await shown(core, key))["usesLeft"] <= 2000 - made
    assert 1000 <= made <= 2000
    core.close()
