"""/approvals: nobody uses a key of such a policy alone."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from keystead.model.approvals import MAX_OPEN_OF_USER
from keystead.model.ids import parse_key_id
from keystead.model.keys import KeyPath
from tests.support.backups import PASSPHRASE, make, restore, set_passphrase, started, unlock
from tests.support.core import ADMIN, Answer, Core, Credentials, b64, start_core
from tests.support.stores import WatchedStore

DIGEST = b64(bytes(32))


@dataclass
class Team:
    """A core with a key, the one that asks, and those that approve."""

    core: Core
    key: str
    asker: Credentials
    ann: Credentials
    bob: Credentials
    cid: Credentials

    async def put(self, **changes: object) -> None:
        rule = {"required": 2, "approvers": ["ann", "bob", "cid"], "validSeconds": 60, "uses": 5}
        policy = {"approvals": rule | changes}
        answer = await self.core.request("PUT", f"/keys/{self.key}/policy", user=ADMIN, json=policy)
        assert answer.status == 204, answer

    async def ask(self, **given: Any) -> str:
        answer = await self.try_ask(**given)
        assert answer.status == 201, answer
        assert answer.headers["Location"] == f"/api/v1/approvals/{answer.json()['id']}"
        return answer.json()["id"]

    async def try_ask(self, user: Credentials | None = None, **given: Any) -> Answer:
        wanted = {"reason": "release 1.2"} | given
        path = f"/keys/{self.key}/approvals"
        return await self.core.request("POST", path, user=user or self.asker, json=wanted)

    async def decide(self, verb: str, approval: str, user: Credentials) -> int:
        path = f"/approvals/{approval}/{verb}"
        return (await self.core.request("POST", path, user=user)).status

    async def granted(self, **given: Any) -> str:
        approval = await self.ask(**given)
        for user in (self.ann, self.bob):
            assert await self.decide("approve", approval, user) == 204
        return approval

    async def shown(self, approval: str, user: Credentials = ADMIN) -> Answer:
        return await self.core.request("GET", f"/approvals/{approval}", user=user)

    async def state(self, approval: str) -> tuple[str, int]:
        found = (await self.shown(approval)).json()
        return found["state"], found["usesLeft"]

    async def sign(self, user: Credentials | None = None, count: int = 1, **more: Any) -> Answer:
        wanted: dict[str, Any] = {"mode": "ECDSA"}
        wanted |= {"message": DIGEST} if count == 1 else {"messages": [DIGEST] * count}
        return await self.core.request(
            "POST", f"/keys/{self.key}/sign", user=user or self.asker, json=wanted | more
        )


async def new_team(core: Core | None = None, **policy: object) -> Team:
    if core is None:
        core = await start_core()
        await core.provision()
    names = ("op", "ann", "bob", "cid")
    asker, ann, bob, cid = [await core.add_user(name, "Operator") for name in names]
    await core.generate("key", "EC_P256", "ECDSA_Signature")
    team = Team(core, "key", asker, ann, bob, cid)
    await team.put(**policy)
    return team


async def test_a_granted_approval_lets_the_asker_and_nobody_else_use_the_key() -> None:
    team = await new_team()
    refused = await team.sign()
    assert (refused.status, "approval" in refused.message) == (403, True)
    approval = await team.ask(uses=3)
    assert await team.decide("approve", approval, team.ann) == 204
    assert await team.decide("approve", approval, team.ann) == 409
    assert (await team.sign()).status == 403
    assert await team.decide("approve", approval, team.bob) == 204
    assert await team.state(approval) == ("granted", 3)
    for other in (team.ann, team.bob):
        assert (await team.sign(other)).status == 403
    assert (await team.sign(count=4)).status == 403
    assert (await team.sign()).status == 200
    assert (await team.sign(count=2)).status == 200
    assert await team.state(approval) == ("spent", 0)
    assert (await team.sign()).status == 403
    team.core.close()


async def test_it_shows_who_asked_who_decided_and_until_when() -> None:
    team = await new_team()
    approval = await team.granted(reason="für 1.2")
    found = (await team.shown(approval, team.cid)).json()
    for name in ("askedAt", "endsAt"):
        assert found.pop(name).endswith("Z")
    assert found == {
        "id": approval,
        "state": "granted",
        "key": "key",
        "askedBy": "op",
        "reason": "für 1.2",
        "uses": 5,
        "usesLeft": 5,
        "required": 2,
        "approvedBy": ["ann", "bob"],
    }
    team.core.close()


async def test_only_those_that_have_to_do_with_it_see_it() -> None:
    team = await new_team()
    stranger = await team.core.add_user("eve", "Operator")
    foreign = await team.core.add_namespace("ns")
    approval = await team.ask()
    for user, sees in ((ADMIN, 1), (team.asker, 1), (team.bob, 1), (stranger, 0), (foreign, 0)):
        listed = (await team.core.request("GET", "/approvals", user=user)).json()
        assert [one["id"] for one in listed] == [approval] * sees
        assert (await team.shown(approval, user)).status == (200 if sees else 404)
    for user, status in ((team.asker, 403), (ADMIN, 403), (stranger, 404), (foreign, 404)):
        assert await team.decide("approve", approval, user) == status
        assert await team.decide("refuse", approval, user) == status
    assert await team.decide("approve", "none", team.ann) == 404
    team.core.close()


async def test_one_refusal_refuses() -> None:
    team = await new_team()
    approval = await team.ask()
    assert await team.decide("approve", approval, team.ann) == 204
    assert await team.decide("refuse", approval, team.cid) == 204
    assert await team.decide("approve", approval, team.bob) == 409
    assert (await team.shown(approval)).json()["refusedBy"] == "cid"
    assert (await team.sign()).status == 403
    team.core.close()


async def test_it_ends_after_its_time_and_is_forgotten_later() -> None:
    team = await new_team()
    granted, pending = await team.granted(), await team.ask()
    team.core.clock.advance(61)
    assert (await team.sign()).status == 403
    assert await team.state(granted) == ("expired", 5)
    assert await team.state(pending) == ("pending", 5)
    team.core.clock.advance(86_400)
    assert await team.state(pending) == ("expired", 5)
    last = await team.ask()
    assert (await team.shown(granted)).status == 404
    assert (await team.shown(pending)).status == 200
    assert await team.state(last) == ("pending", 5)
    team.core.close()


async def test_a_clock_that_is_set_ends_an_approval_and_spends_nothing_twice() -> None:
    team = await new_team()
    granted, pending = await team.granted(uses=2), await team.ask()
    assert (await team.sign()).status == 200
    for time, status, state in (
        ("2024-01-03T00:00:00Z", 403, "expired"),  # Two days later.
        ("2024-01-01T00:00:00Z", 200, "spent"),  # Only a root Administrator sets the clock.
        ("2023-12-31T00:00:00Z", 403, "spent"),
        ("2024-01-03T00:00:00Z", 403, "spent"),
    ):
        wanted = {"time": time}
        answer = await team.core.request("PUT", "/config/time", user=ADMIN, json=wanted)
        assert answer.status == 204
        assert (await team.sign()).status == status
        assert (await team.state(granted))[0] == state
    assert await team.state(pending) == ("expired", 5)
    assert await team.decide("approve", pending, team.ann) == 409
    team.core.close()


@pytest.mark.parametrize("wanted", [{"uses": 6}, {"uses": 0}, {"reason": ""}, {"more": 1}])
async def test_what_does_not_fit_is_not_asked_for(wanted: dict[str, Any]) -> None:
    team = await new_team()
    assert (await team.try_ask(**wanted)).status == 400
    team.core.close()


async def test_who_may_not_use_the_key_or_needs_no_approval_asks_for_none() -> None:
    team = await new_team()
    core = team.core
    await core.generate("free", "EC_P256", "ECDSA_Signature")
    wanted = {"reason": "why"}
    free = await core.request("POST", "/keys/free/approvals", user=team.asker, json=wanted)
    assert free.status == 409
    await team.put(required=3)
    assert (await team.try_ask(team.ann)).status == 409
    await core.request("PUT", "/keys/key/restrictions/tags/t", user=ADMIN)
    assert (await team.try_ask()).status == 403
    core.close()


async def test_a_hostile_operator_cannot_fill_the_store() -> None:
    team = await new_team()
    for _ in range(MAX_OPEN_OF_USER):
        last = await team.ask()
    assert (await team.try_ask()).status == 409
    assert (await team.try_ask(team.cid)).status == 201
    assert await team.decide("refuse", last, team.ann) == 204
    answers = await asyncio.gather(*(team.try_ask() for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    team.core.close()


# --- races -----------------------------------------------------------------------------------


async def test_no_more_are_open_if_many_are_asked_for_while_old_ones_are_deleted() -> None:
    core = await start_core(store=WatchedStore())
    await core.provision()
    team = await new_team(core)
    await team.ask()
    core.clock.advance(3 * 86_400)
    answers = await asyncio.gather(*(team.try_ask() for _ in range(2 * MAX_OPEN_OF_USER)))
    assert [answer.status for answer in answers].count(201) == MAX_OPEN_OF_USER
    core.close()


async def test_of_two_that_decide_at_once_one_wins() -> None:
    team = await new_team(required=1)
    for verbs in (("approve", "approve"), ("approve", "refuse"), ("refuse", "refuse")):
        approval = await team.ask()
        deciders = zip(verbs, (team.ann, team.bob), strict=True)
        statuses = await asyncio.gather(
            *(team.decide(verb, approval, user) for verb, user in deciders)
        )
        assert sorted(statuses) == [204, 409]
        state, _ = await team.state(approval)
        winner = verbs[statuses.index(204)]
        assert state == ("granted" if winner == "approve" else "refused")
    team.core.close()


async def test_the_last_use_is_made_once() -> None:
    team = await new_team()
    approval = await team.granted(uses=3)
    answers = await asyncio.gather(*(team.sign() for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [403] * 7
    assert await team.state(approval) == ("spent", 0)
    team.core.close()


async def test_a_batch_that_no_single_approval_allows_is_refused_whole() -> None:
    team = await new_team()
    first, second = await team.granted(uses=2), await team.granted(uses=2)
    assert (await team.sign(count=3)).status == 403
    assert await team.state(first) == await team.state(second) == ("granted", 2)
    team.core.close()


async def test_a_use_that_fails_or_that_another_rule_refuses_spends_nothing() -> None:
    team = await new_team()
    rule = {"required": 1, "approvers": ["ann"], "validSeconds": 60, "uses": 2}
    policy = {"approvals": rule, "maxPerMinute": 1, "maxUses": 5}
    path = "/keys/key/policy"
    assert (await team.core.request("PUT", path, user=ADMIN, json=policy)).status == 204
    approval = await team.ask()
    assert await team.decide("approve", approval, team.ann) == 204
    for _ in range(3):
        assert (await team.sign(message=b64(b"short"))).status == 400
        assert (await team.sign(mode="PKCS1")).status == 400
    assert await team.state(approval) == ("granted", 2)
    assert (await team.sign()).status == 200
    assert "maxPerMinute" in (await team.sign()).message
    assert await team.state(approval) == ("granted", 1)
    left = (await team.core.request("GET", path, user=ADMIN)).json()["usesLeft"]
    assert left == 4
    team.core.close()


# --- restart, backup, and what voids it --------------------------------------------------------


async def test_approvals_survive_a_crash_and_lock_with_what_is_left() -> None:
    team = await new_team()
    granted, pending = await team.granted(uses=3), await team.ask()
    assert (await team.sign()).status == 200
    team.core = await team.core.restarted()
    assert await unlock(team.core) == 204
    assert await team.state(granted) == ("granted", 2)
    assert await team.state(pending) == ("pending", 5)
    assert (await team.core.request("POST", "/lock", user=ADMIN)).status == 204
    assert (await team.shown(granted)).status == 412
    assert await unlock(team.core) == 204
    assert (await team.sign(count=2)).status == 200
    assert (await team.sign()).status == 403
    team.core.close()


async def test_a_restore_brings_no_approval_back() -> None:
    core = await started()
    await core.provision()
    team = await new_team(core)
    backup = await core.add_user("backup", "Backup")
    assert await set_passphrase(core, PASSPHRASE) == 204
    granted = await team.granted()
    file = await make(core, backup)
    assert granted.encode() not in file
    assert (await restore(core, file, ADMIN, backupPassphrase=PASSPHRASE)).status == 204
    assert (await core.request("GET", "/approvals", user=ADMIN)).json() == []
    assert (await team.sign()).status == 403
    core.close()


async def delete_user(team: Team, name: str) -> int:
    return (await team.core.request("DELETE", f"/users/{name}", user=ADMIN)).status


async def change_policy(team: Team) -> int:
    await team.put(uses=4)
    await team.put(uses=5)
    return 204


async def move_away_and_back(team: Team) -> int:
    for old, new in (("key", "moved"), ("moved", "key")):
        answer = await team.core.request(
            "POST", f"/keys/{old}/move", user=ADMIN, json={"newId": new}
        )
        assert answer.status == 200
    return 204


async def delete_asker(team: Team) -> int:
    return await delete_user(team, "op")


async def delete_approver(team: Team) -> int:
    return await delete_user(team, "ann")


async def delete_key(team: Team) -> int:
    return (await team.core.request("DELETE", "/keys/key", user=ADMIN)).status


@pytest.mark.parametrize(
    "happens", [change_policy, move_away_and_back, delete_asker, delete_approver, delete_key]
)
async def test_what_it_rests_on_may_not_change(happens) -> None:
    team = await new_team()
    granted = await team.granted()
    pending = await team.ask()
    assert await team.decide("approve", pending, team.ann) == 204
    assert await happens(team) == 204
    for approval in (granted, pending):
        assert (await team.shown(approval)).status == 404
    assert (await team.sign()).status in {401, 403, 404}
    again = await team.core.restarted()
    assert await unlock(again) == 204
    assert (await again.request("GET", "/approvals", user=ADMIN)).json() == []
    team.core.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "policy", {"maxUses": 5}),
        ("DELETE", "policy", None),
        ("POST", "move", {"newId": "other"}),
        ("POST", "move", {"newId": "key"}),
    ],
)
async def test_a_change_that_is_refused_voids_none(method: str, path: str, body: object) -> None:
    team = await new_team()
    policy_path = "/keys/key/policy"
    policy = (await team.core.request("GET", policy_path, user=ADMIN)).json() | {"frozen": True}
    answer = await team.core.request("PUT", policy_path, user=ADMIN, json=policy)
    assert answer.status == 204, answer
    await team.core.generate("other", "EC_P256", "ECDSA_Signature")
    granted, pending = await team.granted(uses=2), await team.ask()
    answer = await team.core.request(method, f"/keys/key/{path}", user=ADMIN, json=body)
    assert answer.status == 409
    assert await team.state(granted) == ("granted", 2)
    assert await team.state(pending) == ("pending", 5)
    assert (await team.sign()).status == 200
    team.core.close()


async def test_the_consent_of_an_approver_that_has_lost_the_tag_of_approvers_counts_no_more() -> (
    None
):
    team = await new_team(approvers={"tag": "board"})
    for name, tag in (("ann", "board"), ("bob", "board"), ("ann", "other")):
        answer = await team.core.request("PUT", f"/users/{name}/tags/{tag}", user=ADMIN)
        assert answer.status == 204
    granted = await team.granted()
    pending, of_bob = await team.ask(), await team.ask()
    assert await team.decide("approve", pending, team.ann) == 204
    assert await team.decide("approve", of_bob, team.bob) == 204
    for tag, left in (("other", 3), ("board", 1)):
        answer = await team.core.request("DELETE", f"/users/ann/tags/{tag}", user=ADMIN)
        assert answer.status == 204
        listed = (await team.core.request("GET", "/approvals", user=ADMIN)).json()
        assert len(listed) == left
    assert listed[0]["id"] == of_bob
    for approval in (granted, pending):
        assert await team.decide("approve", approval, team.bob) == 404
    assert (await team.sign()).status == 403
    team.core.close()


async def test_a_deleted_namespace_takes_its_approvals_along() -> None:
    core = await start_core()
    await core.provision()
    boss = await core.add_user("ns~boss", "Administrator")
    asker = await core.add_user("ns~op", "Operator")
    assert (await core.request("PUT", "/namespaces/ns", user=ADMIN)).status == 204
    await core.generate("key", "EC_P256", "ECDSA_Signature", by=boss)
    rule = {"required": 1, "approvers": ["ns~boss"], "validSeconds": 60, "uses": 1}
    policy = {"approvals": rule}
    answer = await core.request("PUT", "/keys/key/policy", user=boss, json=policy)
    assert answer.status == 204, answer
    wanted = {"reason": "why"}
    answer = await core.request("POST", "/keys/key/approvals", user=asker, json=wanted)
    (seen,) = (await core.request("GET", "/approvals", user=ADMIN)).json()
    assert (seen["id"], seen["namespace"]) == (answer.json()["id"], "ns")
    path = f"/approvals/{seen['id']}/approve"
    assert (await core.request("POST", path, user=boss)).status == 204
    assert (await core.request("DELETE", "/namespaces/ns", user=ADMIN)).status == 204
    assert (await core.request("GET", "/approvals", user=ADMIN)).json() == []
    core.close()


async def test_an_approval_for_a_key_is_none_for_another_with_its_name() -> None:
    """As after a crash between the deletion of a key and that of its approvals."""
    team = await new_team()
    await team.granted()
    keys = team.core.hsm.session.keys
    path = KeyPath(None, parse_key_id("key"))
    policy = (await keys.get(path)).record.policy
    await keys.delete(path)
    await team.core.generate("key", "EC_P256", "ECDSA_Signature")
    await keys.change_policy(path, lambda record: replace(record, policy=policy))
    assert len((await team.core.request("GET", "/approvals", user=ADMIN)).json()) == 1
    assert (await team.sign()).status == 403
    team.core.close()
