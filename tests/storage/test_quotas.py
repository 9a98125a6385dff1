"""Quotas of namespaces: no change adds more than there is room for, however many come at once."""

import asyncio
from dataclasses import replace

import pytest

from keystead.errors import NotFound, QuotaExceeded, StoreUnavailable
from keystead.model.ids import NamespaceId, UserId
from keystead.model.keys import StoredCertificate
from keystead.model.quota import UNLIMITED, Quota
from keystead.model.users import PassphraseVerifier, Role, User
from keystead.storage.key_value_store import MISSING
from tests.support.stores import WatchedStore, key_path, key_record, new_domain, open_domain

NS = NamespaceId("ns")
RECORD = key_record()


def user(name):
    return User(UserId.parse(name), "somebody", Role.OPERATOR, PassphraseVerifier(b"s", b"d", None))


async def limited(quota, *, keys=0):
    """Return a store with so many keys in the namespace and one outside; its typed stores."""
    store = WatchedStore()
    domain = await new_domain(store)
    await domain.namespaces.create(NS)
    await domain.namespaces.create(NamespaceId("ns.x"))
    for number in range(keys):
        await put(domain, f"old{number}")
    await domain.keys.put(key_path("a", "ns.x"), RECORD, expected=MISSING)
    await domain.namespaces.set_quota(NS, quota)
    return store, domain


async def put(domain, name):
    await domain.keys.put(key_path(name, NS), RECORD, expected=MISSING)


async def is_refused(domain, name):
    try:
        await put(domain, name)
    except QuotaExceeded:
        return True
    return False


async def stored_bytes(store):
    records = await store.scan("/key/.ns/", "/key/.ns0", limit_bytes=2**30)
    return sum(len(record.entry.value) for record in records)


def granted(results):
    """Return how many of these were made; the rest must have been refused by a quota."""
    assert all(not isinstance(one, BaseException) or type(one) is QuotaExceeded for one in results)
    return sum(1 for one in results if not isinstance(one, BaseException))


@pytest.mark.parametrize("restarted", [False, True])
def test_of_many_keys_at_once_as_many_are_made_as_there_is_room_for(restarted):
    async def scenario():
        store, domain = await limited(Quota(keys=5), keys=2)
        if restarted:
            domain = open_domain(store)
        results = await asyncio.gather(
            *(put(domain, f"new{n}") for n in range(9)), return_exceptions=True
        )
        assert granted(results) == 3
        assert len(await domain.keys.lists.ids(NS)) == 5
        await domain.keys.delete(key_path("old0", NS))
        await put(domain, "instead")
        with pytest.raises(QuotaExceeded, match="5 keys"):
            await put(domain, "more")

    asyncio.run(scenario())


def test_of_many_quotas_at_once_all_are_set():
    attempts = []

    async def scenario():
        store, domain = await limited(UNLIMITED)
        store.before_commit = lambda: attempts.append(NS)
        await asyncio.gather(*(domain.namespaces.set_quota(NS, Quota(keys=n)) for n in range(200)))
        assert len(attempts) == 200

    asyncio.run(scenario())


def test_of_many_users_at_once_as_many_are_made_as_there_is_room_for():
    async def scenario():
        _, domain = await limited(UNLIMITED)
        await domain.users.put(user("ns~first"), expected=MISSING)
        await domain.users.put(user("ns.x~other"), expected=MISSING)
        await domain.namespaces.set_quota(NS, Quota(users=3))
        results = await asyncio.gather(
            *(domain.users.put(user(f"ns~new{n}"), expected=MISSING) for n in range(5)),
            return_exceptions=True,
        )
        assert granted(results) == 2
        await domain.users.delete(UserId.parse("ns~first"))
        await domain.users.put(user("ns~instead"), expected=MISSING)
        with pytest.raises(QuotaExceeded, match="3 users"):
            await domain.users.put(user("ns~more"), expected=MISSING)
        await domain.users.update(UserId.parse("ns~instead"), lambda found: found)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "grown",
    [
        replace(RECORD, certificate=StoredCertificate("x", b"x" * 32)),
        replace(RECORD, label="x" * 32),
        replace(RECORD, tags=frozenset({"x" * 32})),
    ],
    ids=["certificate", "label", "tag"],
)
def test_what_makes_a_record_longer_needs_room_and_what_shortens_it_gives_some(grown):
    async def scenario():
        store, domain = await limited(UNLIMITED, keys=2)
        size = await stored_bytes(store)
        await domain.namespaces.set_quota(NS, Quota(key_bytes=size + 60))
        edits = [domain.keys.update(key_path(f"old{n}", NS), lambda _: grown) for n in range(2)]
        assert granted(await asyncio.gather(*edits, return_exceptions=True)) == 1
        assert size + 32 < await stored_bytes(store) <= size + 60
        for n in range(2):
            await domain.keys.update(key_path(f"old{n}", NS), lambda _: RECORD)
        assert await stored_bytes(store) == size
        await domain.keys.update(key_path("old1", NS), lambda _: grown)

    asyncio.run(scenario())


def test_a_full_namespace_moves_its_keys_and_counts_their_uses():
    async def scenario():
        store, domain = await limited(UNLIMITED, keys=1)
        await domain.namespaces.set_quota(NS, Quota(keys=1, key_bytes=await stored_bytes(store)))
        await domain.keys.move(key_path("old0", NS), key_path("new0", NS))
        for _ in range(1000):
            domain.keys.count_use(key_path("new0", NS))
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(key_path("new0", NS))
        assert record.operations == 1000

    asyncio.run(scenario())


def test_a_quota_below_what_there_is_keeps_that_and_refuses_more():
    async def scenario():
        _, domain = await limited(Quota(keys=1), keys=3)
        await domain.keys.update(key_path("old0", NS), lambda record: replace(record, label="x"))
        await domain.keys.delete(key_path("old1", NS))
        with pytest.raises(QuotaExceeded):
            await put(domain, "new")
        assert len(await domain.keys.lists.ids(NS)) == 2

    asyncio.run(scenario())


def test_a_change_that_began_before_a_quota_was_set_is_held_to_it():
    async def scenario():
        store, domain = await limited(UNLIMITED, keys=1)

        async def limit():
            # Between the creator's look at the quota and its commit.
            store.before_commit = lambda: None
            await open_domain(store).namespaces.set_quota(NS, Quota(keys=1))

        store.before_commit = limit
        with pytest.raises(QuotaExceeded):
            await put(domain, "new")

    asyncio.run(scenario())


def test_a_change_that_fails_takes_no_room():
    async def scenario():
        store, domain = await limited(Quota(keys=1))

        def fail():
            store.before_commit = lambda: None
            raise StoreUnavailable("full")

        store.before_commit = fail
        with pytest.raises(StoreUnavailable):
            await put(domain, "new")
        await put(domain, "new")

    asyncio.run(scenario())


@pytest.mark.parametrize("is_made", [False, True])
def test_a_change_whose_caller_is_cancelled_takes_room_if_it_is_made(is_made):
    async def scenario():
        store, domain = await limited(Quota(keys=1))
        begun, goes_on = asyncio.Event(), asyncio.Event()

        async def hold():
            store.before_commit = lambda: None
            begun.set()
            await goes_on.wait()
            if not is_made:
                raise StoreUnavailable("gone")

        store.before_commit = hold
        change = asyncio.create_task(put(domain, "new"))
        await begun.wait()
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
        with pytest.raises(QuotaExceeded, match=r"may hold 1 key,"):
            await put(domain, "newer")
        goes_on.set()
        for _ in range(9):
            await asyncio.sleep(0)
        assert await is_refused(domain, "newer") == is_made
        assert await is_refused(domain, "newest")
        assert len(await domain.keys.lists.ids(NS)) == 1

    asyncio.run(scenario())


def test_what_the_counts_of_uses_take_is_counted_when_keys_come_and_go():
    async def scenario():
        store, domain = await limited(UNLIMITED, keys=1)
        size = await stored_bytes(store)
        await domain.namespaces.set_quota(NS, Quota(key_bytes=2 * size + 8))
        for _ in range(20):
            await put(domain, "new")
            for _ in range(1000):
                domain.keys.count_use(key_path("new", NS))
            await domain.keys.flush_counts()
            await domain.keys.delete(key_path("new", NS))
        await put(domain, "new")
        grown = replace(RECORD, label="x" * 32)
        with pytest.raises(QuotaExceeded, match="bytes of keys"):
            await domain.keys.update(key_path("new", NS), lambda _: grown)

    asyncio.run(scenario())


def test_what_a_doubtful_store_holds_is_counted_anew():
    async def scenario():
        store, domain = await limited(Quota(keys=1))
        await put(domain, "new")
        await open_domain(store).keys.delete(key_path("new", NS))
        domain.keys.forget_all()
        await put(domain, "newer")

    asyncio.run(scenario())


def test_a_change_that_is_under_way_while_counts_are_forgotten_keeps_its_place():
    async def scenario():
        store, domain = await limited(Quota(keys=2))
        is_writing, may_write = store.hold_next_commit()
        first = asyncio.create_task(put(domain, "first"))
        await is_writing.wait()
        domain.keys.forget_all()
        others = [asyncio.create_task(is_refused(domain, name)) for name in ("second", "third")]
        for _ in range(100):
            await asyncio.sleep(0)
        domain.keys.forget_all()
        may_write.set()
        await first
        assert sorted([await one for one in others]) == [False, True]

    asyncio.run(scenario())


def test_a_namespace_that_is_made_anew_has_no_quota():
    async def scenario():
        store, domain = await limited(Quota(keys=0))
        with pytest.raises(QuotaExceeded):
            await put(domain, "new")
        await domain.keys.delete_namespace(NS)
        assert not [path for path in await store.paths() if "quota" in path]
        with pytest.raises(NotFound):
            await domain.namespaces.set_quota(NS, Quota(keys=0))
        await domain.namespaces.create(NS)
        await put(domain, "new")

    asyncio.run(scenario())
