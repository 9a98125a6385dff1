"""Namespaces: what is deleted stays deleted, whoever crashes or hurries in between."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.errors import AlreadyExists, CorruptRecord, KeysteadError, NotFound
from keystead.model.ids import NamespaceId
from keystead.storage.key_value_store import MISSING, Change
from tests.support.stores import (
    Crash,
    WatchedStore,
    key_path,
    key_record,
    new_domain,
    open_domain,
)

NS = NamespaceId("ns")
RECORD = key_record()


async def filled(store, keys=1200):
    """Return typed stores with so many keys in the namespace, and some around it."""
    domain = await new_domain(store)
    for name in (NS, "ns.x", "nt"):
        await domain.namespaces.create(NamespaceId(name))
        await domain.keys.put(key_path("same", name), RECORD, expected=MISSING)
    await domain.keys.put(key_path("same"), RECORD, expected=MISSING)
    template = await store.get("/key/.ns/same")
    await store.commit([Change(f"/key/.ns/k{n:04}", template.value) for n in range(keys - 1)])
    return domain


async def keys_left(store, namespace=NS):
    return [path for path in await store.paths() if path.startswith(f"/key/.{namespace}/")]


def test_a_namespace_exists_from_creation_to_deletion():
    async def scenario():
        domain = await new_domain(WatchedStore())
        assert not await domain.namespaces.exists(NS)
        await domain.namespaces.create(NS)
        assert await domain.namespaces.exists(NS)
        assert await domain.namespaces.list() == [NS]
        with pytest.raises(AlreadyExists):
            await domain.namespaces.create(NS)
        await domain.keys.delete_namespace(NS)
        assert not await domain.namespaces.exists(NS)
        assert await domain.namespaces.list() == []
        with pytest.raises(NotFound):
            await domain.keys.delete_namespace(NS)

    asyncio.run(scenario())


def test_of_many_who_create_a_namespace_one_succeeds():
    async def scenario():
        domain = await new_domain(WatchedStore())
        outcomes = await asyncio.gather(
            *(domain.namespaces.create(NS) for _ in range(5)), return_exceptions=True
        )
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 4

    asyncio.run(scenario())


def test_a_deletion_takes_all_its_keys_and_no_others():
    async def scenario():
        store = WatchedStore()
        domain = await filled(store)
        store.commits.clear()
        await domain.keys.delete_namespace(NS)
        assert await keys_left(store) == []
        assert len(await keys_left(store, "ns.x")) == len(await keys_left(store, "nt")) == 1
        assert await domain.keys.exists(key_path("same"))
        assert max(len(commit) for commit in store.commits) <= 500
        assert [path for path in await store.paths() if ".deleted" in path] == []

    asyncio.run(scenario())


def test_a_deleted_namespace_leaves_no_key_in_memory():
    async def scenario():
        domain = await filled(WatchedStore(), keys=1)
        path = key_path("same", NS)
        await domain.keys.get(path)
        domain.keys.count_use(path)
        await domain.keys.delete_namespace(NS)
        assert domain.keys.cached(path) is None
        await domain.namespaces.create(NS)
        assert await domain.keys.get(path) is None
        await domain.keys.put(path, RECORD, expected=MISSING)
        assert domain.keys.operations(path, RECORD.operations) == 0

    asyncio.run(scenario())


def test_a_key_loaded_while_its_namespace_goes_does_not_stay_in_memory():
    async def scenario():
        store = WatchedStore()
        domain = await filled(store, keys=1)
        path = key_path("same", NS)

        async def load_before_the_keys_go():
            if store.commits[-1][:1] == ["/namespace/ns"]:
                assert await domain.keys.get(path) is not None

        store.before_commit = load_before_the_keys_go
        await domain.keys.delete_namespace(NS)
        assert domain.keys.cached(path) is None

    asyncio.run(scenario())


async def deletion_until(commits):
    """Return a store whose namespace was being deleted when, after so many commits, all ended."""
    store = WatchedStore()
    domain = await filled(store)
    left = itertools.count(commits, -1)

    def crash():
        if next(left) == 0:
            raise Crash

    store.before_commit = crash
    crashed = False
    try:
        await domain.keys.delete_namespace(NS)
    except Crash:
        crashed = True
    store.before_commit = lambda: None
    return store, crashed


async def crash_points():
    """Yield such a store for every number of commits, twice; the last pair saw no crash."""
    for commits in itertools.count():
        store, crashed = await deletion_until(commits)
        again, _ = await deletion_until(commits)
        yield store, again
        if not crashed:
            return


def test_a_load_that_outlasts_the_deletion_does_not_stay_in_memory():
    async def scenario():
        store = WatchedStore()
        domain = await filled(store, keys=1)
        path = key_path("same", NS)
        store.hold_gets = asyncio.Event()
        load = asyncio.create_task(domain.keys.get(path))
        await asyncio.sleep(0.01)
        hold, store.hold_gets = store.hold_gets, None
        await domain.keys.delete_namespace(NS)
        hold.set()
        assert await load is not None
        assert domain.keys.cached(path) is None

    asyncio.run(scenario())


def test_a_deletion_that_is_finished_has_nothing_left_to_finish():
    async def scenario():
        store = WatchedStore()
        domain = await filled(store, keys=1)
        await domain.keys.delete_namespace(NS)
        await domain.namespaces.create(NS)
        store.commits.clear()
        await domain.namespaces.finish_deletion(NS)
        assert store.commits == []

    asyncio.run(scenario())


def test_a_crash_anywhere_in_a_deletion_is_made_good_by_the_next_unlock():
    async def scenario():
        existed = []
        async for store, _ in crash_points():
            domain = open_domain(store)
            existed.append(await domain.namespaces.exists(NS))
            await domain.open()
            assert len(await keys_left(store)) == (1200 if existed[-1] else 0)
            assert [path for path in await store.paths() if ".deleted" in path] == []
        # One mark, three batches of keys, the mark again: five commits.
        assert existed == [True, False, False, False, False, False]

    asyncio.run(scenario())


def test_a_namespace_created_again_after_a_crash_is_empty():
    async def scenario():
        async for _, store in crash_points():
            domain = open_domain(store)
            if await domain.namespaces.exists(NS):
                continue
            await domain.namespaces.create(NS)
            assert await domain.keys.lists.ids(NS) == []
            await domain.keys.put(key_path("new", NS), RECORD, expected=MISSING)
            await domain.open()
            assert await domain.keys.lists.ids(NS) == ["new"]

    asyncio.run(scenario())


def test_a_key_is_not_created_in_a_namespace_that_goes_meanwhile():
    async def scenario():
        store = WatchedStore()
        domain = await filled(store, keys=1)
        late = key_path("late", NS)

        async def vanish():
            # Between the creator's look at the namespace and its commit.
            store.before_commit = lambda: None
            await store.kept.commit([Change("/namespace/ns", None)])

        store.before_commit = vanish
        with pytest.raises(NotFound, match="Namespace ns"):
            await domain.keys.put(late, RECORD, expected=MISSING)
        with pytest.raises(NotFound, match="Namespace ns"):
            await domain.keys.move(key_path("same"), late)
        assert not await domain.keys.exists(late)

    asyncio.run(scenario())


async def live_and_begin_to_end(store):
    """Create the namespace and a key in it, begin to delete it, and crash."""
    store.before_commit = lambda: None
    elsewhere = open_domain(store)
    await elsewhere.namespaces.create(NS)
    await elsewhere.keys.put(key_path("old", NS), RECORD, expected=MISSING)
    await elsewhere.namespaces.begin_deletion(NS)


def test_a_creation_overtaken_by_a_life_and_half_a_deletion_starts_empty():
    async def scenario():
        store = WatchedStore()
        domain = await new_domain(store)
        store.before_commit = lambda: live_and_begin_to_end(store)
        await domain.namespaces.create(NS)
        assert await domain.keys.lists.ids(NS) == []

    asyncio.run(scenario())


def test_a_deletion_does_not_take_the_mark_of_the_next_one():
    async def scenario():
        store = WatchedStore()
        domain = await new_domain(store)
        await domain.namespaces.create(NS)
        await domain.namespaces.begin_deletion(NS)
        store.before_commit = lambda: live_and_begin_to_end(store)
        await domain.namespaces.finish_deletion(NS)
        assert await keys_left(store) == ["/key/.ns/old"]
        await domain.open()
        assert await keys_left(store) == []

    asyncio.run(scenario())


def test_a_record_of_another_namespace_is_corrupt():
    async def scenario():
        store = WatchedStore()
        domain = await new_domain(store)
        await domain.namespaces.create(NamespaceId("other"))
        other = await store.get("/namespace/other")
        await store.commit([Change("/namespace/ns", other.value)])
        with pytest.raises(CorruptRecord):
            await domain.namespaces.exists(NS)

    asyncio.run(scenario())


# --- everybody at once ---

ACTIONS = st.lists(
    st.lists(st.sampled_from(["create", "delete", "put", "put", "move"]), min_size=1, max_size=5),
    min_size=2,
    max_size=5,
)


async def act(domain, action, name, acknowledged):
    """Do one thing of one client; note when a key was acknowledged, and when a namespace went."""
    try:
        match action:
            case "create":
                await domain.namespaces.create(NS)
                acknowledged.append(("created", set(await domain.keys.lists.ids(NS))))
            case "delete":
                await domain.keys.delete_namespace(NS)
            case "put":
                await domain.keys.put(key_path(name, NS), RECORD, expected=MISSING)
            case "move":
                await domain.keys.put(key_path(name), RECORD, expected=MISSING)
                await domain.keys.move(key_path(name), key_path(name, NS))
    except KeysteadError:
        return


@given(clients=ACTIONS, turns=st.lists(st.integers(0, 4), min_size=1, max_size=50))
@settings(max_examples=150, deadline=None)
def test_no_key_outlives_its_namespace_whatever_interleaves(clients, turns):
    async def scenario():
        store = WatchedStore()
        await new_domain(store)
        delays = itertools.cycle(turns)
        store.turns = lambda: next(delays)
        finished = []

        async def client(number, actions):
            domain = open_domain(store)
            for step, action in enumerate(actions):
                await act(domain, action, f"k{number}-{step}", finished)

        await asyncio.gather(*(client(n, actions) for n, actions in enumerate(clients)))
        domain = open_domain(store)
        if not await domain.namespaces.exists(NS):
            assert await keys_left(store) == []
        assert [path for path in await store.paths() if ".deleted" in path] == []

    asyncio.run(scenario())


@given(turns=st.lists(st.integers(0, 4), min_size=1, max_size=50))
@settings(max_examples=100, deadline=None)
def test_a_namespace_created_again_never_shows_a_key_of_the_old_one(turns):
    async def scenario():
        store = WatchedStore()
        domain = await filled(store, keys=3)
        delays = itertools.cycle(turns)
        store.turns = lambda: next(delays)
        fresh = open_domain(store)

        async def create_again():
            while True:
                try:
                    await fresh.namespaces.create(NS)
                except AlreadyExists:
                    await asyncio.sleep(0)
                    continue
                await fresh.keys.put(key_path("new", NS), RECORD, expected=MISSING)
                return

        await asyncio.gather(domain.keys.delete_namespace(NS), create_again())
        assert await fresh.keys.lists.ids(NS) == ["new"]

    asyncio.run(scenario())
