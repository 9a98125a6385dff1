"""Keys in their store: cached, counted, moved, and gone when deleted."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.errors import (
    AlreadyExists,
    CorruptRecord,
    NotFound,
    StaleRevision,
    StoreUnavailable,
)
from keystead.model.ids import Label, NamespaceId, Tag
from keystead.model.keys import PrivateMaterial, StoredCertificate
from keystead.storage.key_value_store import MISSING, Change
from tests.support.stores import WatchedStore, key_path, key_record, new_domain, open_domain

A, B = key_path("a"), key_path("b")


async def with_key(path=A, **options):
    store = WatchedStore()
    domain = await new_domain(store, **options)
    record = key_record()
    await domain.keys.put(path, record, expected=MISSING)
    store.gets.clear()
    store.commits.clear()
    return store, domain, record


# --- reading and the cache ---


def test_a_key_is_loaded_once_and_then_served_from_memory():
    async def scenario():
        store, domain, record = await with_key()
        assert domain.keys.cached(A) is None
        key = await domain.keys.get(A)
        assert key.record == record
        assert key.private.material() == record.private
        assert await domain.keys.get(A) is domain.keys.cached(A) is key
        assert store.gets == ["/key/a"]

    asyncio.run(scenario())


def test_many_who_miss_one_key_load_it_once():
    async def scenario():
        store, domain, _ = await with_key()
        keys = await asyncio.gather(*(domain.keys.get(A) for _ in range(10)))
        assert len({id(key) for key in keys}) == 1
        assert store.gets == ["/key/a"]

    asyncio.run(scenario())


def test_one_who_gives_up_does_not_take_the_others_load_along():
    async def scenario():
        store, domain, record = await with_key()
        store.hold_gets = asyncio.Event()
        first, second = (asyncio.create_task(domain.keys.get(A)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        store.hold_gets.set()
        assert (await second).record == record
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(scenario())


def test_an_absent_key_is_asked_for_every_time_and_takes_no_memory():
    async def scenario():
        store, domain, _ = await with_key()
        assert await domain.keys.get(B) is None
        assert await domain.keys.get(B) is None
        assert store.gets == ["/key/b", "/key/b"]
        assert not await domain.keys.exists(B)
        assert await domain.keys.exists(A)

    asyncio.run(scenario())


def test_the_key_used_least_recently_leaves_the_cache_first():
    async def scenario():
        _, domain, record = await with_key(key_cache_size=2)
        for name in "bc":
            await domain.keys.put(key_path(name), record, expected=MISSING)
        for name in "abac":
            await domain.keys.get(key_path(name))
        assert domain.keys.cached(B) is None
        assert domain.keys.cached(A) is not None
        assert domain.keys.cached(key_path("c")) is not None

    asyncio.run(scenario())


def test_reading_a_record_leaves_the_cache_alone():
    async def scenario():
        _, domain, record = await with_key()
        found, _ = await domain.keys.read(A)
        assert found == record
        assert await domain.keys.read(B) is None
        assert domain.keys.cached(A) is None

    asyncio.run(scenario())


def test_a_change_is_seen_at_once_and_keeps_the_parsed_key():
    async def scenario():
        store, domain, _ = await with_key()
        before = await domain.keys.get(A)
        await domain.keys.update(A, lambda record: replace(record, label=Label("new")))
        after = domain.keys.cached(A)
        assert after.record.label == "new"
        assert after.private is before.private
        assert after.revision == (await store.get("/key/a")).revision

    asyncio.run(scenario())


def test_another_private_key_is_parsed_anew():
    async def scenario():
        _, domain, _ = await with_key()
        before = await domain.keys.get(A)
        other = key_record()
        await domain.keys.put(A, other, expected=before.revision)
        assert (await domain.keys.get(A)).private.material() == other.private

    asyncio.run(scenario())


def test_a_load_that_read_the_old_record_does_not_stay_in_memory():
    async def scenario():
        store, domain, _ = await with_key()
        store.hold_gets = asyncio.Event()
        load = asyncio.create_task(domain.keys.get(A))
        await asyncio.sleep(0.01)
        hold, store.hold_gets = store.hold_gets, None
        await domain.keys.update(A, lambda record: replace(record, label=Label("new")))
        hold.set()
        await load
        assert (await domain.keys.get(A)).record.label == "new"

    asyncio.run(scenario())


def test_a_load_under_way_does_not_bring_a_deleted_key_back():
    async def scenario():
        store, domain, _ = await with_key()
        store.hold_gets = asyncio.Event()
        load = asyncio.create_task(domain.keys.get(A))
        await asyncio.sleep(0.01)
        hold, store.hold_gets = store.hold_gets, None
        await domain.keys.delete(A)
        hold.set()
        await load
        assert domain.keys.cached(A) is None
        assert await domain.keys.get(A) is None

    asyncio.run(scenario())


def test_dropping_forgets_keys_and_loads_under_way():
    async def scenario():
        store, domain, record = await with_key()
        await domain.keys.put(B, record, expected=MISSING)
        await domain.keys.get(A)
        store.hold_gets = asyncio.Event()
        load = asyncio.create_task(domain.keys.get(B))
        await asyncio.sleep(0.01)
        domain.keys.drop()
        store.hold_gets.set()
        await load
        assert domain.keys.cached(A) is None
        assert domain.keys.cached(B) is None

    asyncio.run(scenario())


def test_a_failed_load_is_tried_again():
    async def scenario():
        store, domain, record = await with_key()
        good = await store.get("/key/a")
        await store.commit([Change("/key/a", good.value[:-1])])
        for _ in range(2):
            with pytest.raises(CorruptRecord, match="/key/a"):
                await domain.keys.get(A)
        await store.commit([Change("/key/a", good.value)])
        assert (await domain.keys.get(A)).record == record

    asyncio.run(scenario())


def test_a_record_with_a_key_that_does_not_parse_is_corrupt():
    async def scenario():
        _, domain, record = await with_key()
        broken = replace(record, private=PrivateMaterial(pem=b"secret nonsense"))
        await domain.keys.put(B, broken, expected=MISSING)
        with pytest.raises(CorruptRecord) as caught:
            await domain.keys.get(B)
        assert "secret" not in str(caught.value)

    asyncio.run(scenario())


def test_nothing_secret_shows_in_a_cached_key():
    async def scenario():
        _, domain, _ = await with_key()
        assert "PRIVATE" not in repr(await domain.keys.get(A))

    asyncio.run(scenario())


# --- lists ---


def test_a_list_has_the_keys_of_one_namespace_only():
    async def scenario():
        _, domain, record = await with_key()
        for name in ("n", "n.m"):
            await domain.namespaces.create(NamespaceId(name))
        for path in (key_path("0"), key_path("z"), key_path("x", "n"), key_path("y", "n.m")):
            await domain.keys.put(path, record, expected=MISSING)
        assert await domain.keys.list(None) == ["0", "a", "z"]
        assert await domain.keys.list(NamespaceId("n")) == ["x"]
        assert await domain.keys.list(NamespaceId("n.m")) == ["y"]
        assert await domain.keys.list(NamespaceId("other")) == []

    asyncio.run(scenario())


def test_a_prefix_narrows_a_list_and_reaches_nowhere_else():
    async def scenario():
        _, domain, record = await with_key()
        await domain.namespaces.create(NamespaceId("n"))
        for name in ("tls", "tls-1", "tls.2", "tlt", "z"):
            await domain.keys.put(key_path(name), record, expected=MISSING)
        await domain.keys.put(key_path("secret", "n"), record, expected=MISSING)
        assert await domain.keys.list(None, "tls") == ["tls", "tls-1", "tls.2"]
        assert await domain.keys.list(None, "z") == ["z"]
        for prefix in (".n/", ".", "../key/.n/", "tls/", "\0", "é", "t" * 200):
            assert await domain.keys.list(None, prefix) == []

    asyncio.run(scenario())


# --- changes ---


def test_a_taken_id_is_refused_and_nothing_changes():
    async def scenario():
        _, domain, record = await with_key()
        with pytest.raises(AlreadyExists):
            await domain.keys.put(A, key_record(), expected=MISSING)
        assert (await domain.keys.get(A)).record == record

    asyncio.run(scenario())


def test_a_late_change_is_refused():
    async def scenario():
        _, domain, record = await with_key()
        _, revision = await domain.keys.read(A)
        await domain.keys.put(A, record, expected=revision)
        with pytest.raises(StaleRevision):
            await domain.keys.put(A, record, expected=revision)

    asyncio.run(scenario())


def test_concurrent_updates_all_happen():
    async def scenario():
        _, domain, _ = await with_key()

        def tagged(tag):
            return lambda record: replace(record, tags=record.tags | {Tag(tag)})

        await asyncio.gather(*(domain.keys.update(A, tagged(tag)) for tag in "uvwxyz"))
        assert (await domain.keys.get(A)).record.tags == set("uvwxyz")

    asyncio.run(scenario())


def test_what_is_missing_cannot_be_changed():
    async def scenario():
        _, domain, record = await with_key()
        with pytest.raises(NotFound):
            await domain.keys.update(B, lambda found: found)
        with pytest.raises(NotFound):
            await domain.keys.delete(B)
        with pytest.raises(NotFound):
            await domain.keys.move(B, key_path("c"))
        with pytest.raises(NotFound, match="Namespace n"):
            await domain.keys.put(key_path("a", "n"), record, expected=MISSING)

    asyncio.run(scenario())


def test_an_update_that_refuses_changes_nothing():
    async def scenario():
        store, domain, _ = await with_key()

        def refuse(record):
            raise NotFound(f"no such tag among {len(record.tags)}")

        with pytest.raises(NotFound, match="among 0"):
            await domain.keys.update(A, refuse)
        assert store.commits == []

    asyncio.run(scenario())


def test_a_deleted_key_is_gone_from_store_and_memory():
    async def scenario():
        store, domain, _ = await with_key()
        await domain.keys.get(A)
        await domain.keys.delete(A)
        assert domain.keys.cached(A) is None
        assert await domain.keys.get(A) is None
        assert "/key/a" not in await store.paths()

    asyncio.run(scenario())


def test_a_moved_key_is_at_its_new_name_only_and_in_one_commit():
    async def scenario():
        store, domain, record = await with_key()
        await domain.keys.get(A)
        await domain.keys.move(A, B)
        assert await domain.keys.get(A) is None
        assert (await domain.keys.get(B)).record == record
        assert store.commits == [["/key/a", "/key/b"]]

    asyncio.run(scenario())


def test_a_key_does_not_move_over_another():
    async def scenario():
        _, domain, record = await with_key()
        await domain.keys.put(B, key_record(), expected=MISSING)
        with pytest.raises(AlreadyExists):
            await domain.keys.move(A, B)
        with pytest.raises(AlreadyExists):
            await domain.keys.move(A, A)
        assert (await domain.keys.get(A)).record == record

    asyncio.run(scenario())


def test_of_two_moves_to_one_name_one_wins_and_no_key_is_lost():
    async def scenario():
        _, domain, first = await with_key()
        second = key_record()
        await domain.keys.put(B, second, expected=MISSING)
        target = key_path("c")
        outcomes = await asyncio.gather(
            domain.keys.move(A, target), domain.keys.move(B, target), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == [
            "AlreadyExists",
            "NoneType",
        ]
        left = [await domain.keys.get(path) for path in (A, B, target)]
        assert {key.record.private for key in left if key} == {first.private, second.private}

    asyncio.run(scenario())


# --- counting uses ---


def test_uses_are_counted_at_once_and_written_when_flushed():
    async def scenario():
        store, domain, _ = await with_key()
        key = await domain.keys.get(A)
        for _ in range(3):
            domain.keys.count_use(A)
        assert domain.keys.operations(A, key.record) == 3
        assert store.commits == []
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(A)
        assert record.operations == 3
        assert domain.keys.cached(A).record == record
        assert domain.keys.operations(A, record) == 3
        await domain.keys.flush_counts()
        assert store.commits == [["/key/a"]]

    asyncio.run(scenario())


def test_uses_counted_during_a_flush_are_not_lost():
    async def scenario():
        store, domain, _ = await with_key()
        domain.keys.count_use(A)
        store.before_commit = lambda: domain.keys.count_use(A)
        await domain.keys.flush_counts()
        store.before_commit = lambda: None
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(A)
        assert record.operations == 2

    asyncio.run(scenario())


def test_a_flush_does_not_undo_a_change_made_meanwhile():
    async def scenario():
        store, domain, _ = await with_key()
        await domain.keys.get(A)
        elsewhere = open_domain(store)
        await elsewhere.keys.update(A, lambda record: replace(record, label=Label("new")))
        domain.keys.count_use(A)
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(A)
        assert (record.label, record.operations) == ("new", 1)

    asyncio.run(scenario())


def test_a_flush_overtaken_by_a_deletion_writes_nothing():
    async def scenario():
        store, domain, _ = await with_key()
        domain.keys.count_use(A)

        async def delete():
            store.before_commit = lambda: None
            await store.kept.commit([Change("/key/a", None)])

        store.before_commit = delete
        await domain.keys.flush_counts()
        assert await domain.keys.read(A) is None
        await domain.keys.flush_counts()
        assert store.commits == []

    asyncio.run(scenario())


def test_a_flush_without_a_store_keeps_the_counts_for_the_next():
    async def scenario():
        store, domain, _ = await with_key()
        domain.keys.count_use(A)

        def fail():
            raise StoreUnavailable("no disk")

        store.before_commit = fail
        with pytest.raises(StoreUnavailable):
            await domain.keys.flush_counts()
        store.before_commit = lambda: None
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(A)
        assert record.operations == 1

    asyncio.run(scenario())


def test_counts_follow_a_key_that_moves():
    async def scenario():
        _, domain, _ = await with_key()
        domain.keys.count_use(A)
        await domain.keys.flush_counts()
        domain.keys.count_use(A)
        await domain.keys.move(A, B)
        domain.keys.count_use(B)
        assert domain.keys.operations(B, (await domain.keys.get(B)).record) == 3
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(B)
        assert record.operations == 3

    asyncio.run(scenario())


def test_a_new_key_of_an_old_name_starts_at_zero():
    async def scenario():
        _, domain, record = await with_key()
        domain.keys.count_use(A)
        await domain.keys.delete(A)
        domain.keys.count_use(A)  # by a request that was still under way
        await domain.keys.put(A, record, expected=MISSING)
        assert domain.keys.operations(A, record) == 0
        await domain.keys.flush_counts()
        assert (await domain.keys.read(A))[0].operations == 0

    asyncio.run(scenario())


def test_counts_of_keys_that_are_gone_or_unreadable_hold_nothing_up():
    async def scenario():
        store, domain, record = await with_key()
        await domain.keys.put(B, record, expected=MISSING)
        await store.commit([Change("/key/b", b"noise")])
        for path in (key_path("gone"), B, A):
            domain.keys.count_use(path)
        await domain.keys.flush_counts()
        assert (await domain.keys.read(A))[0].operations == 1
        assert store.commits[-1] == ["/key/a"]

    asyncio.run(scenario())


def test_a_flush_is_cut_into_commits_of_bounded_number_and_size():
    async def scenario():
        store, domain, record = await with_key()
        large = replace(
            record, certificate=StoredCertificate("application/octet-stream", b"x" * 2**20)
        )
        paths = [key_path(f"small{n:03}") for n in range(150)]
        await store.commit([domain.keys.change(path, record) for path in paths])
        huge = [key_path(f"zhuge{n}") for n in range(3)]
        for path in huge:
            await domain.keys.put(path, large, expected=MISSING)
        store.commits.clear()
        for path in paths + huge:
            domain.keys.count_use(path)
        await domain.keys.flush_counts()
        assert [len(commit) for commit in store.commits] == [100, 51, 1, 1]
        for path in paths + huge:
            assert (await domain.keys.read(path))[0].operations == 1

    asyncio.run(scenario())


# --- against a model ---

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("move"), NAMES, NAMES),
    st.tuples(st.just("use"), NAMES),
    st.tuples(st.just("get"), NAMES),
    st.tuples(st.just("flush")),
    st.tuples(st.just("restart")),
)
POOL = [key_record() for _ in range(4)]


async def apply(domain, model, number, step):
    """Do one step on the store and on a dictionary from name to (private key, uses)."""
    keys = domain.keys
    match step:
        case ("put", name) if name not in model:
            record = POOL[number % len(POOL)]
            await keys.put(key_path(name), record, expected=MISSING)
            model[name] = [record.private, 0]
        case ("put", name):
            with pytest.raises(AlreadyExists):
                await keys.put(key_path(name), POOL[0], expected=MISSING)
        case ("delete", name) if name in model:
            await keys.delete(key_path(name))
            del model[name]
        case ("move", source, target) if source in model and target not in model:
            await keys.move(key_path(source), key_path(target))
            model[target] = model.pop(source)
        case ("use", name) if name in model:
            keys.count_use(key_path(name))
            model[name][1] += 1
        case ("get", name):
            assert (await keys.get(key_path(name)) is not None) == (name in model)
        case ("flush",):
            await keys.flush_counts()


@given(steps=st.lists(STEPS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_keys_are_what_a_dictionary_says(steps):
    async def scenario():
        store = WatchedStore()
        domain, model = await new_domain(store, key_cache_size=2), {}
        for number, step in enumerate(steps):
            if step == ("restart",):
                await domain.keys.flush_counts()
                domain = open_domain(store)
            else:
                await apply(domain, model, number, step)
            assert await domain.keys.list(None) == sorted(model)
            for name, (private, uses) in model.items():
                key = await domain.keys.get(key_path(name))
                assert key.private.material() == private
                assert domain.keys.operations(key_path(name), key.record) == uses

    asyncio.run(scenario())
