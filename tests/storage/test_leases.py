"""Leases of uses: whatever crashes, fails or comes at once, a key is never used too often."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.errors import Conflict, Overloaded, StoreUnavailable
from keystead.model.ids import parse_label
from keystead.model.keys import KeyPath
from keystead.model.policy import PolicyDocument, parse_policy
from keystead.storage.domain import DomainStores
from keystead.storage.leases import lease, lease_ahead, return_leases
from keystead.storage.use_limits import KeyLimits, Minute, lease_size
from tests.support.stores import WatchedStore, key_path, key_record, open_domain, with_key

TENTH = 1000
"""The most uses of a lease that takes a tenth of what is left."""
A, B = key_path("a"), key_path("b")


async def limited(max_uses: int) -> tuple[WatchedStore, DomainStores]:
    store, domain, _ = await with_key()
    await set_policy(domain, max_uses)
    return store, domain


async def set_policy(domain: DomainStores, max_uses: int) -> None:
    policy = parse_policy(PolicyDocument(max_uses=max_uses))
    await domain.keys.change_policy(
        A, lambda record: replace(record, policy=policy, uses_left=max_uses)
    )


async def use(domain: DomainStores, uses: int) -> bool:
    """Use the key as the gate does: take what is leased without a wait after the look."""
    while (key := await domain.keys.get(A)) is not None:
        assert key.limits is not None
        if not key.limits.lacks(key.record, uses):
            if key.limits.leased < uses:
                return False
            key.limits.take(uses, 0.0)
            lease_ahead(domain.keys, key)
            return True
        await lease(domain.keys, key, uses)
    return False


async def left(domain: DomainStores) -> int:
    record, _ = await domain.keys.read(A)
    return domain.keys.limits.uses_left(A, record)


async def nothing_is_leased(domain: DomainStores) -> None:
    """Wait for leases that are being written."""
    async with domain.keys.limits.no_leases():
        pass


async def use_some(domain: DomainStores, wanted: list[int]) -> int:
    """Use the key at once by so many requests. Return how many uses they were, with a crash 0."""
    try:
        done = await asyncio.gather(*(use(domain, uses) for uses in wanted))
    except StoreUnavailable:
        return 0
    await nothing_is_leased(domain)
    return sum(uses for uses, is_done in zip(wanted, done, strict=True) if is_done)


def fails(store: WatchedStore, *, made: bool) -> None:
    """Make the next commit fail, after it was made or before."""
    commit = store.kept.commit

    async def fail(changes, *, checks=()):
        store.kept.commit = commit
        if made:
            await commit(changes, checks=checks)
        raise StoreUnavailable("The machine is gone.")

    store.kept.commit = fail


MANY = st.lists(st.integers(1, 400), min_size=1, max_size=5)
ONE = st.lists(st.integers(1, 400), min_size=1, max_size=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), MANY),
        st.tuples(st.sampled_from(["crash before a commit", "crash after a commit"]), ONE),
        st.tuples(st.sampled_from(["crash", "lock", "evict"]), st.just([])),
    ),
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(max_uses=st.sampled_from([1, 5, 999, 1000, 1500]), steps=STEPS)
def test_no_crash_and_no_race_gives_a_key_a_use_more(max_uses, steps):
    async def scenario():
        store, domain = await limited(max_uses)
        used = 0
        for what, wanted in steps:
            before = await left(domain)
            if what.endswith("commit"):
                fails(store, made="after" in what)
            if what == "lock":
                await return_leases(domain.keys)
            now_used = await use_some(domain, wanted) if what != "lock" else 0
            used += now_used
            if what == "evict":
                domain.keys._cache.forget(A)  # noqa: SLF001 - as use of many other keys would
            elif what != "use":
                store.kept.__dict__.pop("commit", None)
                domain = open_domain(store)
            assert await left(domain) <= max_uses - used
            if what in {"use", "lock", "evict"}:
                assert await left(domain) == before - now_used

    asyncio.run(scenario())


def test_a_lease_for_a_policy_that_is_gone_adds_nothing_to_the_next_one():
    async def scenario():
        store, domain = await limited(5000)
        key = await domain.keys.get(A)
        store.turns = lambda: 3
        leasing = asyncio.create_task(lease(domain.keys, key, 1))
        await set_policy(domain, 10)
        await asyncio.gather(leasing, return_exceptions=True)
        assert await left(domain) == 10
        with pytest.raises(Conflict):
            await lease(domain.keys, key, 1)
        assert await use_some(domain, [10, 1]) <= 10

    asyncio.run(scenario())


def test_a_lease_goes_on_when_the_client_that_needed_it_is_gone():
    async def scenario():
        store, domain = await limited(10)
        key = await domain.keys.get(A)
        store.turns = lambda: 3
        leasing = asyncio.create_task(lease(domain.keys, key, 4))
        await asyncio.sleep(0)
        leasing.cancel()
        await asyncio.gather(leasing, return_exceptions=True)
        async with domain.keys.limits.no_leases():
            assert (key.limits.leased, await left(domain)) == (4, 10)
            with pytest.raises(Overloaded):
                await lease(domain.keys, key, 5)

    asyncio.run(scenario())


def test_nothing_is_leased_while_a_restore_copies_also_after_a_lock_at_the_same_time():
    async def scenario():
        _, domain = await limited(10)
        async with domain.keys.limits.no_leases():
            await return_leases(domain.keys)
            key = await domain.keys.get(A)
            with pytest.raises(Overloaded):
                await lease(domain.keys, key, 5)
        await lease(domain.keys, key, 5)
        assert key.limits.leased == 5

    asyncio.run(scenario())


def test_more_is_leased_while_requests_use_what_is_left():
    async def scenario():
        store, domain = await limited(10**6)
        assert await use_some(domain, [1]) == 1
        key = await domain.keys.get(A)
        assert await use(domain, TENTH * 3 // 4)
        store.turns = lambda: 5
        while key.limits.leased > 100:
            key = await domain.keys.get(A)
            assert not key.limits.lacks(key.record, 1)
            assert await use(domain, 1)
            writes = len(domain.keys.limits._leases)  # noqa: SLF001 - one at a time
            assert writes <= 1
        assert writes == 1
        await nothing_is_leased(domain)
        assert domain.keys.limits.leased(A) == TENTH

    asyncio.run(scenario())


def test_a_lease_ahead_that_fails_is_made_by_the_request_that_needs_it():
    async def scenario():
        store, domain = await limited(10**6)
        assert await use(domain, 1)
        fails(store, made=False)
        assert await use(domain, TENTH - 2)
        await nothing_is_leased(domain)
        assert domain.keys.limits.leased(A) == 1
        assert await use_some(domain, [1, 1]) == 2
        assert await left(domain) == 10**6 - TENTH - 1

    asyncio.run(scenario())


def test_a_lock_waits_for_a_lease_that_is_being_written_and_returns_it():
    async def scenario():
        store, domain = await limited(10**6)
        assert await use(domain, 1)
        store.turns = lambda: 5
        assert await use(domain, TENTH - 2)
        await return_leases(domain.keys)
        record, _ = await domain.keys.read(A)
        assert record.uses_left == 10**6 - TENTH + 1

    asyncio.run(scenario())


def test_leases_move_with_their_key_and_end_with_it():
    async def scenario():
        _, domain = await limited(5000)
        assert await use_some(domain, [1]) == 1
        await domain.keys.move(A, B)
        record, _ = await domain.keys.read(B)
        assert domain.keys.limits.uses_left(B, record) == 4999
        await domain.keys.delete(B)
        assert domain.keys.limits.leased(B) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("max_uses", "remaining", "needed", "leased", "expected"),
    [
        (999, 999, 3, 0, 3),
        (999, 999, 3, 2, 1),
        (999, 2, 3, 0, 2),
        (1000, 1000, 1, 0, 100),
        (10**6, 10**6, 1, 0, 1000),
        (10**6, 10**6, 0, 249, 751),
        (10**6, 10**6, 1001, 0, 1001),
        (10**6, 10**6, 1100, 200, 900),
        (10**6, 5, 1, 0, 5),
        (10**6, 3000, 1, 0, 300),
        (10**6, 1500, 0, 200, 0),
        (10**9, 3 * 10**6, 1, 0, 3000),
        (10**9, 10**9, 1, 0, 10_000),
    ],
)
def test_a_lease_is_small_beside_what_is_left(max_uses, remaining, needed, leased, expected):
    policy = parse_policy(PolicyDocument(max_uses=max_uses))
    assert lease_size(policy, remaining, needed, leased) == expected


@given(
    limit=st.integers(1, 5),
    steps=st.lists(st.tuples(st.integers(0, 40 * 64), st.integers(1, 6)), max_size=40),
)
def test_no_minute_has_more_uses_than_allowed_and_waiting_helps(limit, steps):
    minute, now, made = Minute(), 1000.0, []
    for parts, uses in steps:
        now += parts / 64  # Nothing is rounded.
        wait = minute.wait(uses, limit, now)
        if uses > limit:
            assert wait is None
            continue
        if wait:
            assert wait <= 60
            now += wait
            assert minute.wait(uses, limit, now) == 0
        minute.add(uses, now)
        made += [now] * uses
        assert sum(when + 60 > now for when in made) <= limit


def test_a_wait_that_is_rounded_is_no_longer_than_a_minute():
    minute, now = Minute(), 33.222
    assert (now + 60) - now > 60
    minute.add(1, now)
    assert minute.wait(1, 1, now) == 60


def test_what_is_taken_back_counts_no_more_and_an_old_minute_is_forgotten():
    minute = Minute()
    minute.add(3, 10.5)
    minute.add(-3, 10.9)
    assert minute.wait(3, 3, 11.0) == 0
    assert not minute.forget_before(70.4)
    assert minute.forget_before(70.5)
    minute.add(-3, 10.5)
    assert minute.wait(3, 3, 70.5) == 0


def test_nobody_waits_for_longer_than_a_minute_after_the_last_use():
    minute = Minute()
    minute.add(1, 10.0)
    minute.add(1, 10.75)
    assert minute.wait(1, 2, 10.75) == 60
    assert minute.wait(1, 2, 70.5) == 0.25
    assert minute.wait(1, 2, 70.75) == 0


def test_others_are_served_while_the_limits_of_many_keys_are_looked_at() -> None:
    """With those of 100,000 keys, everyone waited for 0.2 s every five seconds."""
    at_a_time, now = 1000, 1000.0
    policy = parse_policy(PolicyDocument(max_per_minute=1))
    record = key_record(policy=policy)
    paths = [key_path(f"k{number}") for number in range(3 * at_a_time)]
    looked_at = list[KeyPath]()

    def is_held(path: KeyPath) -> bool:
        looked_at.append(path)
        return path == paths[0]

    async def scenario() -> None:
        limits = KeyLimits()
        of_keys = [limits.of(path, record) for path in paths]
        of_keys[-1].take(1, now)
        looking = asyncio.create_task(limits.forget_idle(now + 1, is_held=is_held))
        await asyncio.sleep(0)
        assert len(looked_at) == at_a_time
        limits.forget(paths[-2])  # Its key is deleted meanwhile.
        await looking
        left = [path for path, one in zip(paths, of_keys, strict=True) if limits.has(path, one)]
        assert left == [paths[0], paths[-1]]

    asyncio.run(scenario())


@pytest.mark.parametrize(("changed", "commits"), [([], 2), (["k140"], 1 + 50)])
def test_leases_of_many_keys_are_returned_in_few_commits_with_the_counts_of_uses(
    changed: list[str], commits: int
) -> None:
    """One by one, a lock took a minute for 20,000 keys."""
    max_uses, many = 10**6, 151
    policy = parse_policy(PolicyDocument(max_uses=max_uses))
    record = key_record(policy=policy, uses_left=max_uses, uses_of="1")
    paths = [key_path(f"k{number:03}") for number in range(many)]

    async def scenario() -> None:
        store, domain, _ = await with_key()
        for path in paths:
            await domain.keys.put(path, record, expected=None)
            key = await domain.keys.get(path)
            assert key is not None
            await lease(domain.keys, key, 1)
            key.limits.take(1, 0.0)
            domain.keys.count_use(path)
        await domain.keys.delete(paths.pop())
        for name in changed:  # By another device: the key in memory is not the latest.
            await open_domain(store).keys.update(
                key_path(name), lambda record: replace(record, label=parse_label("new"))
            )
        store.commits.clear()
        await return_leases(domain.keys)
        assert len(store.commits) == commits
        for path in paths:
            stored, _ = await domain.keys.read(path)
            assert (stored.uses_left, stored.operations) == (max_uses - 1, 1)

    asyncio.run(scenario())
