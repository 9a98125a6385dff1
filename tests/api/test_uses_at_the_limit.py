"""Eight clients use up a key, and the core ends at each step of that: never a use too many."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from keystead.storage.key_value_store import Change, Check
from keystead.storage.use_limits import EXACT_BELOW, LEASED_PART
from tests.api.test_approvals import new_team
from tests.api.test_policies import new_key, set_policy, shown, sign_many
from tests.support.backups import unlock
from tests.support.core import ADMIN, Core, Credentials, start_core
from tests.support.stores import Crash, WatchedStore

pytestmark = pytest.mark.no_cover
"""Other tests reach the same lines, and tracing would take as long again."""

BATCHES = (1, 1, 1, 2, 3, 7, 1, 1)
"""How many messages each of the clients sends in a request."""


class EndingStore(WatchedStore):
    """A store whose core ends in one of its commits, and writes nothing any more."""

    def __init__(self) -> None:
        super().__init__()
        self.has_ended = False
        self._left: int | None = None
        self._is_made = False

    def ends_after(self, commits: int, *, is_made: bool) -> None:
        """End in the commit after so many. With `is_made`, it is made nevertheless."""
        self.has_ended, self._left, self._is_made = False, commits, is_made

    def lives_again(self) -> bool:
        """End no more. Return whether it has ended."""
        had_ended, self.has_ended, self._left = self.has_ended, False, None
        return had_ended

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        if self.has_ended:
            raise Crash
        if self._left == 0:
            self.has_ended = True
            if self._is_made:
                _ = await super().commit(changes, checks=checks)
            raise Crash
        if self._left is not None:
            self._left -= 1
        return await super().commit(changes, checks=checks)


async def used_at_once(core: Core, key: str, user: Credentials) -> int:
    """Have all clients use the key until it is refused them, or the core has ended.

    Return the number of uses.
    """

    async def client(batch: int) -> int:
        used = 0
        while (await sign_many(core, key, user, batch)).status == 200:
            used += batch
        return used

    return sum(await asyncio.gather(*map(client, BATCHES)))


async def restarted(core: Core) -> Core:
    again = await core.restarted()
    assert await unlock(again) == 204
    return again


@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("limit", [12, 1000])
async def test_the_core_ends_at_any_step_of_the_last_uses(*, limit: int, is_made: bool) -> None:
    store = EndingStore()
    core = await start_core(store=store)
    await core.provision()
    user = await core.add_user("op", "Operator")
    key = await new_key(core)
    lost = sum(BATCHES) + (0 if limit < EXACT_BELOW else limit // LEASED_PART)
    steps, has_ended = 0, True
    while has_ended:
        await set_policy(core, key, maxUses=limit)
        store.ends_after(steps, is_made=is_made)
        used = await used_at_once(core, key, user)
        has_ended = store.lives_again()
        if has_ended:
            core = await restarted(core)
            assert (await shown(core, key))["usesLeft"] <= limit - used
            used += await used_at_once(core, key, user)
            steps += 1
        assert limit - lost <= used <= limit, steps
    assert used == limit
    assert steps > 3
    core.close()


@pytest.mark.parametrize("is_made", [False, True])
async def test_the_core_ends_at_any_step_of_the_uses_of_an_approval(*, is_made: bool) -> None:
    store = EndingStore()
    core = await start_core(store=store)
    await core.provision()
    team = await new_team(core)
    steps, has_ended = 0, True
    while has_ended:
        _ = await team.granted(uses=3)
        store.ends_after(steps, is_made=is_made)
        answers = await asyncio.gather(*(team.sign() for _ in range(8)))
        has_ended = store.lives_again()
        if has_ended:
            team.core = await restarted(team.core)
            answers += [await team.sign() for _ in range(4)]
            steps += 1
        assert 2 <= [answer.status for answer in answers].count(200) <= 3, steps
        assert (await team.sign()).status == 403
    assert steps == 3
    core.close()


async def with_a_tenant() -> tuple[Core, EndingStore, Credentials, Credentials]:
    """Return a core with a namespace: its Administrator, and its Operator."""
    store = EndingStore()
    core = await start_core(store=store)
    await core.provision()
    boss = await core.add_namespace("ns")
    return core, store, boss, await core.add_user("ns~op", "Operator", by=boss)


async def limited_key(core: Core, boss: Credentials, limit: int) -> None:
    await core.generate("key", "EC_P256", "ECDSA_Signature", by=boss)
    policy = {"maxUses": limit}
    answer = await core.request("PUT", "/keys/key/policy", user=boss, json=policy)
    assert answer.status == 204


@pytest.mark.parametrize("limit", [100, 5000])
async def test_a_namespace_is_deleted_while_a_key_of_it_is_used(limit: int) -> None:
    core, store, boss, user = await with_a_tenant()
    for seed in range(8):
        order = random.Random(seed)  # noqa: S311 - orders, not secrets
        store.turns = lambda order=order: order.randrange(4)
        await limited_key(core, boss, limit)
        is_deleted = False

        async def client() -> int:
            used = 0
            while True:
                was_deleted = is_deleted  # noqa: B023 - of this round
                if (await sign_many(core, "key", user, 1)).status != 200:
                    return used
                # A use that is on its way may be answered a moment after the deletion.
                assert not was_deleted
                used += 1

        clients = [asyncio.create_task(client()) for _ in BATCHES]
        for _ in range(order.randrange(100)):
            await asyncio.sleep(0)
        assert (await core.request("DELETE", "/namespaces/ns", user=ADMIN)).status == 204
        is_deleted = True
        assert sum(await asyncio.gather(*clients)) <= limit
        assert (await core.request("PUT", "/namespaces/ns", user=ADMIN)).status == 204
        await limited_key(core, boss, 5)
        assert sum(await asyncio.gather(*(used_singly(core, user) for _ in range(8)))) == 5
        assert (await core.request("DELETE", "/keys/key", user=boss)).status == 204
    core.close()


async def used_singly(core: Core, user: Credentials) -> int:
    used = 0
    while (await sign_many(core, "key", user, 1)).status == 200:
        used += 1
    return used


@pytest.mark.parametrize("is_made", [False, True])
async def test_the_core_ends_at_any_step_of_the_deletion_of_a_namespace(*, is_made: bool) -> None:
    core, store, boss, user = await with_a_tenant()
    steps, has_ended = 0, True
    while has_ended:
        await limited_key(core, boss, 5)
        store.ends_after(steps, is_made=is_made)
        deletion = core.request("DELETE", "/namespaces/ns", user=ADMIN)
        _, *used = await asyncio.gather(deletion, *(used_singly(core, user) for _ in range(3)))
        has_ended = store.lives_again()
        if has_ended:
            core = await restarted(core)
            used.append(await used_singly(core, user))
            steps += 1
        assert sum(used) <= 5, steps
        assert (await core.request("DELETE", "/namespaces/ns", user=ADMIN)).status in {204, 404}
        assert (await core.request("PUT", "/namespaces/ns", user=ADMIN)).status == 204
        assert (await core.request("GET", "/keys", user=boss)).json() == []
    assert steps > 2
    core.close()
