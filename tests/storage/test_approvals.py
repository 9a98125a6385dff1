"""Approvals in the store: changes and deletions of the same ones at once."""

import asyncio
from dataclasses import replace

import pytest

from keystead.errors import StoreUnavailable
from keystead.model.approvals import Approval, ApprovalState, ApprovalSubject
from keystead.model.ids import NamespaceId, UserId
from keystead.model.policy import ApprovalRule
from keystead.storage.approvals import ApprovalStore
from keystead.storage.key_value_store import Change
from tests.support.stores import WatchedStore, key_path, new_domain, open_domain

DAY = 86_400
NOW = 10.0 * DAY
ENOUGH_SECONDS = 30
MANY = 100


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
        is_writing, may_write = store.hold_next_commit()
        async with asyncio.timeout(ENOUGH_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(approvals.take("b", 1, lambda: NOW))
            await is_writing.wait()
            tasks.create_task(approvals.void(None, lambda _: True))
            tasks.create_task(approvals.add(approval("d", asked_at=NOW), NOW))
            await asyncio.sleep(0)  # Both have begun, and wait.
            may_write.set()
        assert [one.approval_id for one in approvals.of_namespace(None, NOW)] == ["d"]

    asyncio.run(scenario())


class _Held:
    """A store whose next commit waits until it may go on, or fails then."""

    def __init__(self) -> None:
        self.store = WatchedStore()
        self._is_held, self._may_go_on = asyncio.Event(), asyncio.Event()
        self._error: Exception | None = None

    def hold(self) -> None:
        async def wait() -> None:
            self.store.before_commit = lambda: None
            self._is_held.set()
            await self._may_go_on.wait()
            if self._error is not None:
                raise self._error

        self.store.before_commit = wait

    async def held(self) -> None:
        await self._is_held.wait()

    def go_on(self, error: Exception | None = None) -> None:
        self._error = error
        self._may_go_on.set()


def test_a_change_that_is_written_while_all_are_read_again_is_shown() -> None:
    async def scenario() -> None:
        held = _Held()
        approvals = (await new_domain(held.store)).approvals
        await approvals.add(approval("a", state=ApprovalState.GRANTED, granted_at=NOW), NOW)
        held.hold()
        async with asyncio.timeout(ENOUGH_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(approvals.take("a", 1, lambda: NOW))
            await held.held()
            approvals.forget()
            await approvals.open()
            assert approvals.get("a", NOW).uses_left == 2
            held.go_on()
        assert approvals.get("a", NOW).uses_left == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("fails", [False, True])
def test_uses_that_are_given_back_while_others_are_written_are_there_again(fails) -> None:
    async def scenario() -> None:
        held = _Held()
        approvals = (await new_domain(held.store)).approvals
        whole = approval("a", state=ApprovalState.GRANTED, granted_at=NOW, uses=5, uses_left=5)
        await approvals.add(whole, NOW)
        unused = await approvals.take("a", 2, lambda: NOW)
        held.hold()
        writing = asyncio.create_task(approvals.take("a", 1, lambda: NOW))
        async with asyncio.timeout(ENOUGH_SECONDS):
            await held.held()
            unused.give_back()
            assert approvals.get("a", NOW).uses_left == 5
            held.go_on(StoreUnavailable("no disk") if fails else None)
            _ = await asyncio.gather(writing, return_exceptions=True)
        assert isinstance(writing.exception(), StoreUnavailable) == fails
        assert approvals.get("a", NOW).uses_left == (5 if fails else 4)
        await approvals.take("a", 1, lambda: NOW)
        assert approvals.get("a", NOW).uses_left == (4 if fails else 3)

    asyncio.run(scenario())


def test_one_that_is_asked_for_while_all_are_read_again_is_shown() -> None:
    async def scenario() -> None:
        held = _Held()
        approvals = (await new_domain(held.store)).approvals
        held.hold()
        async with asyncio.timeout(ENOUGH_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(approvals.add(approval("a", asked_at=NOW), NOW))
            await held.held()
            approvals.forget()
            await approvals.open()
            held.go_on()
        assert [one.approval_id for one in approvals.of_namespace(None, NOW)] == ["a"]

    asyncio.run(scenario())


def test_uses_of_an_approval_that_another_member_has_deleted_are_void() -> None:
    async def scenario() -> None:
        store = WatchedStore()
        approvals = (await new_domain(store)).approvals
        for name in ("a", "b"):
            await approvals.add(approval(name, state=ApprovalState.GRANTED, granted_at=NOW), NOW)
        taken, kept = [await approvals.take(name, 1, lambda: NOW) for name in ("a", "b")]
        paths = await store.list("/", "0", limit=100)
        await store.commit([Change(path, None) for path in paths if path.endswith("/a")])
        approvals.forget()
        await approvals.open()
        assert (taken.is_void, kept.is_void) == (True, False)

    asyncio.run(scenario())


def test_what_is_forgotten_again_while_all_are_read_is_not_void() -> None:
    """Another member changes an approval while those that it changed before are still read."""

    async def scenario() -> None:
        store = WatchedStore()
        approvals = (await new_domain(store)).approvals
        for name in ("a", "b"):
            await approvals.add(approval(name, state=ApprovalState.GRANTED, granted_at=NOW), NOW)
        taken = [await approvals.take(name, 1, lambda: NOW) for name in ("a", "b")]
        approvals.forget()
        reading = asyncio.create_task(approvals.open())
        for _ in range(1000):
            await asyncio.sleep(0)
            if approvals.of_namespace(None, NOW):
                break
        assert len(approvals.of_namespace(None, NOW)) == 1
        approvals.forget()
        await reading
        await approvals.open()
        assert [uses.is_void for uses in taken] == [False, False]
        assert len(approvals.of_namespace(None, NOW)) == 2

    asyncio.run(scenario())


def test_one_that_another_member_changes_is_read_by_itself() -> None:
    async def scenario() -> None:
        store = WatchedStore()
        approvals = (await new_domain(store)).approvals
        elsewhere = open_domain(store).approvals
        await approvals.add(approval("a", state=ApprovalState.GRANTED, granted_at=NOW), NOW)
        await elsewhere.open()
        taken = await elsewhere.take("a", 2, lambda: NOW)
        await elsewhere.add(approval("b"), NOW)
        for name in ("a", "b", "missing"):
            await approvals.read_again(name)
        shown, there = (
            {one.approval_id: one for one in of}
            for of in (approvals.of_namespace(None, NOW), elsewhere.of_namespace(None, NOW))
        )
        assert shown == there
        assert shown.keys() == {"a", "b"}
        await approvals.void(None, lambda _: True)
        await elsewhere.read_again("a")
        assert taken.is_void

    asyncio.run(scenario())


def test_one_that_is_read_while_all_are_forgotten_keeps_the_entry_that_its_users_have() -> None:
    async def scenario() -> None:
        approvals = (await new_domain(WatchedStore())).approvals
        await approvals.add(approval("a", state=ApprovalState.GRANTED, granted_at=NOW), NOW)
        taken = await approvals.take("a", 1, lambda: NOW)
        approvals.forget()
        await approvals.read_again("a")
        await approvals.open()
        await approvals.void(None, lambda _: True)
        assert taken.is_void

    asyncio.run(scenario())


def test_many_are_read_in_few_scans_and_share_equal_rules() -> None:
    """One by one, those of 250 namespaces kept an unlock waiting for 40 seconds."""

    async def scenario() -> None:
        store = WatchedStore()
        domain = await new_domain(store)
        for number in range(MANY):
            subject = ApprovalSubject(key_path(f"k{number}"), bytes(32), bytes(32))
            asked = approval(f"a{number:03}", asker=UserId.parse(f"u{number}"), subject=subject)
            await domain.approvals.add(asked, 0.0)
        gets, scans = len(store.gets), len(store.scans)
        read = ApprovalStore(store, domain.approvals._sealed)  # noqa: SLF001
        await read.open()
        assert len(store.gets) == gets
        assert len(store.scans) <= scans + 2
        found = read.of_namespace(None, 0.0)
        assert [one.approval_id for one in found] == [f"a{number:03}" for number in range(MANY)]
        assert len({id(one.rule) for one in found}) == 1

    asyncio.run(scenario())


def test_a_change_looks_at_no_approval_of_another_namespace() -> None:
    """Otherwise a tenant that deletes a key would wait for the approvals of all tenants."""

    async def scenario() -> None:
        approvals = (await new_domain(WatchedStore())).approvals
        for namespace in (None, "n"):
            path = key_path("key", namespace)
            subject = ApprovalSubject(path, bytes(32), bytes(32))
            name = namespace or "root"
            asker = UserId(path.namespace, "asker")
            await approvals.add(approval(name, asker=asker, subject=subject), 0.0)
        seen = list[str]()

        def is_void(one: Approval) -> bool:
            seen.append(one.approval_id)
            return True

        await approvals.void(NamespaceId("n"), is_void)
        assert seen == ["n"]
        assert [one.approval_id for one in approvals.of_namespace(None, 0.0)] == ["root"]
        assert approvals.of_namespace(NamespaceId("n"), 0.0) == []

    asyncio.run(scenario())
