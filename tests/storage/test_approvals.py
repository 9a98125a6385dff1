"""Approvals in the store: changes and deletions of the same ones at once."""

import asyncio
from dataclasses import replace

from keystead.model.approvals import Approval, ApprovalState, ApprovalSubject
from keystead.model.ids import UserId
from keystead.model.policy import ApprovalRule
from tests.support.stores import WatchedStore, key_path, new_domain

DAY = 86_400
NOW = 10.0 * DAY
ENOUGH_SECONDS = 30


def approval(name: str, *, seconds: int = 60, asked_at: float = 0.0, **fields: object) -> Approval:
    rule = ApprovalRule(1, ("ann",), seconds, 5)
    subject = ApprovalSubject(key_path("key"), bytes(32), bytes(32))
    asker = UserId.parse("asker")
    made = Approval(name, subject, asker, "why", rule, uses=2, uses_left=2, asked_at=asked_at)
    return replace(made, **fields)


def test_two_deletions_and_a_change_of_the_same_approvals_do_not_wait_for_each_other() -> None:
    async def scenario() -> None:
        store = WatchedStore()
        approvals = (await new_domain(store)).approvals
        granted = ApprovalState.GRANTED
        for one in (
            approval(
                "a", state=ApprovalState.REFUSED
            ),  # It ended after c, which was asked for later.
            approval("b", seconds=20 * DAY, state=granted, granted_at=1.0),
            approval("c", state=ApprovalState.SPENT, granted_at=1.0),
        ):
            await approvals.add(one, 0.0)
        is_writing, may_write = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            store.before_commit = lambda: None
            is_writing.set()
            await may_write.wait()

        store.before_commit = wait
        async with asyncio.timeout(ENOUGH_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(approvals.take("b", 1, lambda: NOW))
            await is_writing.wait()
            tasks.create_task(approvals.void(lambda _: True))
            tasks.create_task(approvals.add(approval("d", asked_at=NOW), NOW))
            await asyncio.sleep(0)  # Both have begun, and wait.
            may_write.set()
        assert [one.approval_id for one in approvals.of_namespace(None, NOW)] == ["d"]

    asyncio.run(scenario())
