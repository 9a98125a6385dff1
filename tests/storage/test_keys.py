"""Keys in their store: listed, changed, moved, and gone when deleted."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.errors import AlreadyExists, CorruptRecord, NotFound, StaleRevision
from keystead.model.ids import KeyId, NamespaceId, Tag, parse_label
from keystead.model.key_selection import EVERY_KEY
from keystead.model.keys import Permit, PrivateMaterial
from keystead.storage.domain import DomainStores
from keystead.storage.key_lists import ShownKey
from keystead.storage.key_value_store import MISSING, Change, StoredValue
from tests.support.stores import (
    WatchedStore,
    key_path,
    key_record,
    new_domain,
    open_domain,
    with_key,
)

A, B = key_path("a"), key_path("b")


async def shown_keys(domain: DomainStores) -> list[tuple[KeyId, ShownKey | None]]:
    """Return the first page of a list of all keys."""
    lists = domain.keys.lists
    page = await lists.sealed_page(None, "", after=None)
    return list(lists.shown(page, EVERY_KEY))


# --- lists ---


def test_a_list_has_the_keys_of_one_namespace_only():
    async def scenario():
        _, domain, record = await with_key()
        for name in ("n", "n.m"):
            await domain.namespaces.create(NamespaceId(name))
        for path in (key_path("0"), key_path("z"), key_path("x", "n"), key_path("y", "n.m")):
            await domain.keys.put(path, record, expected=MISSING)
        assert await domain.keys.lists.ids(None) == ["0", "a", "z"]
        assert await domain.keys.lists.ids(NamespaceId("n")) == ["x"]
        assert await domain.keys.lists.ids(NamespaceId("n.m")) == ["y"]
        assert await domain.keys.lists.ids(NamespaceId("other")) == []

    asyncio.run(scenario())


def test_a_prefix_narrows_a_list_and_reaches_nowhere_else():
    async def scenario():
        _, domain, record = await with_key()
        await domain.namespaces.create(NamespaceId("n"))
        for name in ("tls", "tls-1", "tls.2", "tlt", "z"):
            await domain.keys.put(key_path(name), record, expected=MISSING)
        await domain.keys.put(key_path("secret", "n"), record, expected=MISSING)
        assert await domain.keys.lists.ids(None, "tls") == ["tls", "tls-1", "tls.2"]
        assert await domain.keys.lists.ids(None, "z") == ["z"]
        for prefix in (".n/", ".", "../key/.n/", "tls/", "\0", "é", "t" * 200):
            assert await domain.keys.lists.ids(None, prefix) == []

    asyncio.run(scenario())


def test_a_list_opens_a_record_again_only_after_a_change():
    async def scenario():
        _, domain, _ = await with_key()

        async def was_known() -> bool:
            ((_, shown),) = await shown_keys(domain)
            return shown.was_known

        assert [await was_known(), await was_known()] == [False, True]
        await domain.keys.update(A, lambda before: replace(before, label=parse_label("new")))
        assert [await was_known(), await was_known()] == [False, True]
        domain.keys.drop()
        assert await was_known() is False

    asyncio.run(scenario())


def test_a_list_shows_the_key_of_the_record_whatever_revision_the_store_says():
    async def scenario():
        store, domain, _ = await with_key()
        rsa = [algorithms.BY_NAME["RSA"].generate(2048) for _ in range(2)]
        before, after = (key_record(private=one.material()) for one in rsa)
        await domain.keys.put(A, before, expected=None)
        known = await domain.keys.get(A)
        await open_domain(store).keys.put(A, after, expected=None)
        sealed = store.kept._entries["/key/a"]  # noqa: SLF001
        lie = StoredValue(sealed.value, known.revision)
        store.kept._entries["/key/a"] = lie  # noqa: SLF001
        ((_, shown),) = await shown_keys(domain)
        assert shown.summary.public.pem == rsa[1].public_pem()

    asyncio.run(scenario())


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[PrivateMaterial]:
    """The keys that were parsed."""
    seen: list[PrivateMaterial] = []
    load = algorithms.load

    def noting(one: PrivateMaterial) -> algorithms.PrivateKey:
        seen.append(one)
        return load(one)

    monkeypatch.setattr(algorithms, "load", noting)
    return seen


async def listed_pem(domain: DomainStores) -> bytes | None:
    """Return the public half of the only key in a list that was not listed before."""
    domain.keys.lists.forget()
    ((_, shown),) = await shown_keys(domain)
    return shown.summary.public.pem


def test_a_list_parses_no_key_that_has_its_public_half_beside_it(parsed: list[PrivateMaterial]):
    async def scenario():
        _, domain, _ = await with_key()
        for number in range(3):
            private = algorithms.BY_NAME["ML_DSA_65"].generate(None)
            await domain.keys.put(A, key_record(private=private.material()), expected=None)
            assert await listed_pem(domain) == private.public_pem()
            assert len(parsed) == 1, f"the first one, for its type, and not number {number}"

    asyncio.run(scenario())


def test_a_key_that_was_stored_without_its_public_half_is_shown_and_used_as_before():
    async def scenario():
        _, domain, _ = await with_key()
        private = algorithms.BY_NAME["ML_DSA_65"].generate(None)
        earlier = replace(private.material(), public=None)
        await domain.keys.put(A, key_record(private=earlier), expected=None)
        assert await listed_pem(domain) == private.public_pem()
        key = await domain.keys.update(A, lambda record: replace(record, label=parse_label("x")))
        assert key.private == earlier
        assert await listed_pem(domain) == private.public_pem()

    asyncio.run(scenario())


@pytest.mark.parametrize("type_name", ["ML_DSA_65", "EC_P256"])
@pytest.mark.parametrize("public", [b"", b"short", bytes(1952)])
def test_a_record_with_the_public_half_of_another_key_is_corrupt(type_name: str, public: bytes):
    async def scenario():
        _, domain, _ = await with_key()
        record = key_record(type_name)
        other = replace(record, private=replace(record.private, public=public))
        await domain.keys.put(A, other, expected=None)
        for attempt in (domain.keys.get(A), listed_pem(domain)):
            with pytest.raises(CorruptRecord, match="The record /key/a cannot be read"):
                await attempt

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


def test_concurrent_updates_all_happen_without_making_each_other_stale():
    tags = {Tag(f"tag-{number}") for number in range(200)}
    attempts = []

    async def scenario():
        store, domain, _ = await with_key()

        def tagged(tag):
            return lambda record: replace(record, tags=record.tags | {tag})

        store.before_commit = lambda: attempts.append(A)
        await asyncio.gather(*(domain.keys.update(A, tagged(tag)) for tag in tags))
        assert (await domain.keys.get(A)).record.tags == tags
        assert len(attempts) == len(tags)

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


def test_a_key_that_cannot_be_read_can_be_deleted():
    async def scenario():
        store, domain, _ = await with_key()
        await store.commit([Change("/key/a", b"noise")])
        await domain.keys.delete(A)
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
        domain, model = await new_domain(store, key_cache=2), {}
        for number, step in enumerate(steps):
            if step == ("restart",):
                await domain.keys.flush_counts()
                domain = open_domain(store)
            else:
                await apply(domain, model, number, step)
            assert await domain.keys.lists.ids(None) == sorted(model)
            for name, (private, uses) in model.items():
                key = await domain.keys.get(key_path(name))
                assert key.release(Permit(key.path)).material() == private
                assert domain.keys.operations(key_path(name), key.record.operations) == uses

    asyncio.run(scenario())
