"""Everything that can happen to an approval, at once, in many orders."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.api.test_approvals import Team, new_team
from tests.support.core import ADMIN, start_core
from tests.support.stores import WatchedStore

pytestmark = pytest.mark.no_cover
"""Other tests reach the same lines, and tracing would take as long again."""

USES = 2
ORDERS = 20
"""Of each event. The store answers after a different number of turns each time."""
NO_EVENT = "nothing"
APPROVER = "an approver is deleted"
OTHER_ROLE = "an approver gets another role"
TAG = "an approver loses the tag of approvers"


async def _team(event: str, order: random.Random) -> Team:
    store = WatchedStore()
    core = await start_core(store=store)
    await core.provision()
    team = await new_team(core, uses=USES)
    if event == TAG:
        for name in ("ann", "bob", "cid"):
            assert await _status(team, "PUT", f"/users/{name}/tags/boss") == 204
        await team.put(uses=USES, approvers={"tag": "boss"})
    store.turns = lambda: order.randrange(6)
    return team


async def _status(team: Team, method: str, path: str, json: object = None) -> int:
    return (await team.core.request(method, path, user=ADMIN, json=json)).status


async def _make_again(team: Team, name: str, role: str) -> int:
    """Delete a user, and make one with the same name and passphrase."""
    deleted = await _status(team, "DELETE", f"/users/{name}")
    _ = await team.core.add_user(name, role)
    return deleted


EVENTS: dict[str, Callable[[Team], Awaitable[int]]] = {
    NO_EVENT: lambda _: asyncio.sleep(0, 0),
    "the key is deleted": lambda team: _status(team, "DELETE", "/keys/key"),
    "the key is moved": lambda team: _status(team, "POST", "/keys/key/move", {"newId": "other"}),
    "the policy is changed": lambda team: _status(
        team, "PUT", "/keys/key/policy", {"approvals": RULE | {"uses": 9}}
    ),
    APPROVER: lambda team: _status(team, "DELETE", "/users/ann"),
    OTHER_ROLE: lambda team: _make_again(team, "ann", "Backup"),
    TAG: lambda team: _status(team, "DELETE", "/users/ann/tags/boss"),
    "the asker is deleted": lambda team: _status(team, "DELETE", "/users/op"),
    "another user gets the asker's name": lambda team: _make_again(team, "op", "Operator"),
}
RULE = {"required": 2, "approvers": ["ann", "bob", "cid"], "validSeconds": 60, "uses": USES}


async def _race(team: Team, event: str, order: random.Random, *, refuses: bool) -> None:
    approval = await team.ask(uses=USES)
    one_of_two = [team.decide("approve", approval, user) for user in (team.ann, team.bob)]
    refusal = team.decide("refuse", approval, team.cid) if refuses else asyncio.sleep(0, 0)
    happening = EVENTS[event](team)
    signing = [_sign(team, order) for _ in range(USES + 2)]
    decided, refused, happened, signed = await asyncio.gather(
        asyncio.gather(*one_of_two), refusal, happening, asyncio.gather(*signing)
    )
    assert set(decided) <= {204, 401, 403, 404, 409}
    assert sum(signed) <= USES
    if refused == 204 or decided.count(204) < len(decided):
        assert sum(signed) == 0
    if event != NO_EVENT:
        assert happened in {200, 204}
        again = [(await team.sign()).status for _ in range(USES + 1)]
        assert 200 not in again
        left = await team.shown(approval)
        # Who ceases to be an approver before consenting leaves an approval that others may decide.
        assert left.status == 404 or (
            event in {APPROVER, OTHER_ROLE, TAG} and "ann" not in left.json()["approvedBy"]
        )
    else:
        spent = [(await team.sign()).status for _ in range(USES + 1)].count(200)
        was_granted = decided.count(204) == len(decided)
        assert sum(signed) + spent == (USES if was_granted else 0)
        assert (await team.state(approval))[0] == ("spent" if was_granted else "refused")


async def _sign(team: Team, order: random.Random) -> bool:
    for _ in range(order.randrange(40)):
        await asyncio.sleep(0)
    return (await team.sign()).status == 200


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("refuses", [False, True])
async def test_of_all_that_happens_at_once_to_an_approval_one_order_is_true(
    *, event: str, refuses: bool
) -> None:
    for seed in range(ORDERS):
        order = random.Random(seed)  # noqa: S311 - orders, not secrets
        team = await _team(event, order)
        try:
            await _race(team, event, order, refuses=refuses)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            team.core.close()
