"""Uses of keys: counted at once, written now and then, never on the wrong key."""

import asyncio
from dataclasses import replace

import pytest

from keystead.errors import CommitTooLarge, StoreUnavailable
from keystead.model.ids import Label, NamespaceId
from keystead.model.keys import StoredCertificate
from keystead.model.secret import Secret
from keystead.storage.bound import BoundStore
from keystead.storage.domain import DomainStores
from keystead.storage.generations import GenerationStore
from keystead.storage.key_value_store import MISSING, Change
from keystead.storage.version_pages import PAGES
from keystead.storage.versions import Versions
from tests.support.stores import (
    DOMAIN_KEY,
    DetachedStore,
    WatchedStore,
    key_path,
    key_record,
    open_domain,
    with_key,
)

A, B = key_path("a"), key_path("b")


def test_uses_are_counted_at_once_and_written_when_flushed():
    async def scenario():
        store, domain, _ = await with_key()
        key = await domain.keys.get(A)
        for _ in range(3):
            domain.keys.count_use(A)
        assert domain.keys.operations(A, key.record.operations) == 3
        assert store.commits == []
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(A)
        assert record.operations == 3
        assert domain.keys.cached(A).record == record
        assert domain.keys.operations(A, record.operations) == 3
        await domain.keys.flush_counts()
        assert store.commits == [["/key/a"]]

    asyncio.run(scenario())


def test_a_flush_reads_many_keys_that_are_not_cached_at_once():
    async def scenario():
        store, domain, record = await with_key()
        paths = [key_path(f"k{number}") for number in range(100)]
        for path in paths:
            await domain.keys.put(path, record, expected=MISSING)
        reading = most = 0
        get = store.get

        async def slow_get(path):
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0)
            reading -= 1
            return await get(path)

        store.get = slow_get
        for path in paths:
            domain.keys.count_use(path)
        await domain.keys.flush_counts()
        assert most > 10
        assert {(await domain.keys.read(path))[0].operations for path in paths} == {1}

    asyncio.run(scenario())


def test_what_concerns_many_keys_writes_each_page_of_versions_about_once():
    async def scenario():
        store = WatchedStore()
        bound = BoundStore(store, lambda _: None)
        generations = await GenerationStore.open(bound)
        versions = Versions(store, 0, Secret(bytes(32)))
        for changes in versions.made_of({}):
            await store.commit(changes)
        bound.follow(versions)
        domain = DomainStores(generations, DOMAIN_KEY, page_of=versions.page_of)
        await generations.commit(domain.initial())
        await domain.namespaces.create(NamespaceId("n"))
        record, paths = key_record(), [key_path(f"k{number}", "n") for number in range(2000)]
        for start in range(0, len(paths), 200):
            some = paths[start : start + 200]
            await generations.commit([domain.keys.change(path, record) for path in some])
        for path in paths:
            domain.keys.count_use(path)

        def require_few_pages() -> None:
            pages = [path for commit in store.commits for path in commit if "/root/" in path]
            assert len(set(pages)) > PAGES * 0.9
            assert len(pages) <= len(set(pages)) + len(store.commits)

        store.commits.clear()
        await domain.keys.flush_counts()
        require_few_pages()
        assert {(await domain.keys.read(path))[0].operations for path in paths} == {1}
        store.commits.clear()
        assert await domain.keys.delete_namespace(NamespaceId("n")) == ""
        require_few_pages()
        assert await generations.list("/key/", "/key0", limit=10) == ["/key/.version"]

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


def test_a_flush_that_is_cancelled_counts_nothing_twice():
    async def scenario():
        store, domain, _ = await with_key(DetachedStore())
        await domain.keys.get(A)
        domain.keys.count_use(A)
        is_writing, may_write = store.hold_next_commit()
        flushing = asyncio.create_task(domain.keys.flush_counts())
        await is_writing.wait()
        flushing.cancel()
        await asyncio.wait([flushing])
        may_write.set()
        await domain.keys.flush_counts()
        record, _ = await domain.keys.read(A)
        assert domain.keys.operations(A, record.operations) == 1

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


def test_a_record_that_the_store_does_not_take_keeps_no_other_count_from_being_written():
    async def scenario():
        store, domain, record = await with_key()
        paths = [key_path(f"k{number}") for number in range(20)]
        for path in paths:
            await domain.keys.put(path, record, expected=MISSING)
        commit = store.kept.commit

        async def commit_but_one(changes, *, checks=()):
            if any(change.path == "/key/k7" for change in changes):
                raise CommitTooLarge("It is too large.")
            return await commit(changes, checks=checks)

        store.kept.commit = commit_but_one
        for path in paths:
            domain.keys.count_use(path)
        with pytest.raises(CommitTooLarge):
            await domain.keys.flush_counts()
        counts = [(await domain.keys.read(path))[0].operations for path in paths]
        assert counts == [int(number != 7) for number in range(20)]
        assert domain.keys.operations(key_path("k7"), 0) == 1

    asyncio.run(scenario())


def test_counts_follow_a_key_that_moves():
    async def scenario():
        _, domain, _ = await with_key()
        domain.keys.count_use(A)
        await domain.keys.flush_counts()
        domain.keys.count_use(A)
        await domain.keys.move(A, B)
        domain.keys.count_use(B)
        assert domain.keys.operations(B, (await domain.keys.get(B)).record.operations) == 3
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
        assert domain.keys.operations(A, record.operations) == 0
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
