"""A set of records replaced by another in one commit, whoever crashes or writes meanwhile."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import CorruptRecord, StaleRevision
from keystead.storage.generations import POINTER, GenerationStore
from keystead.storage.key_value_store import MISSING, Change, Check
from keystead.storage.sealed_records import REMOVED_AT_ONCE
from tests.support.memory_store import MemoryStore
from tests.support.stores import Crash, WatchedStore

EVERYTHING = ("/", "0")
LOCAL = "/local/device/secret"


async def generation_with(store, **records):
    generation = await GenerationStore.open(store)
    await generation.commit([Change(f"/{name}", value) for name, value in records.items()])
    return generation


async def contents(store):
    generation = await GenerationStore.open(store)
    page = await generation.scan(*EVERYTHING, limit_bytes=10**6)
    return {path: entry.value for path, entry in page}


def test_a_switch_replaces_all_records_and_keeps_device_local_ones():
    async def scenario():
        store = MemoryStore()
        kept = await generation_with(store, a=b"1", b=b"1")
        await kept.commit([Change(LOCAL, b"kept"), Change("/local/device/slot", b"old")])
        following = await kept.begin_next()
        await following.add({"/b": b"2"})
        await following.add({"/c": b"2"})
        assert await contents(store) == {"/a": b"1", "/b": b"1"}
        await following.bring_into_force([Change("/local/device/slot", b"new")])
        assert await contents(store) == {"/b": b"2", "/c": b"2"}
        assert (await kept.get(LOCAL)).value == b"kept"
        assert (await kept.get("/local/device/slot")).value == b"new"
        assert await kept.list("/local/", "/local0", limit=9) == [
            "/local/device/secret",
            "/local/device/slot",
        ]
        assert await kept.list(*EVERYTHING, limit=2) == ["/b", "/c"]

    asyncio.run(scenario())


def test_a_generation_that_another_member_has_deleted_cannot_come_into_force():
    async def scenario():
        store = MemoryStore()
        kept = await generation_with(store, a=b"1")
        following = await kept.begin_next()
        await following.add({"/b": b"2"})
        other = await GenerationStore.open(store)
        await other.sweep()
        with pytest.raises(StaleRevision):
            await following.add({"/c": b"2"})
        with pytest.raises(StaleRevision):
            await following.bring_into_force([])
        assert await contents(store) == {"/a": b"1"}
        again = await kept.begin_next()
        await again.add({"/d": b"3"})
        await again.bring_into_force([])
        assert await contents(store) == {"/d": b"3"}

    asyncio.run(scenario())


def test_a_sweep_takes_nothing_of_a_restore_that_begins_meanwhile_on_another_member():
    async def scenario():
        store = WatchedStore()
        kept = await generation_with(store, a=b"1")
        other = await GenerationStore.open(store.kept)
        await store.kept.commit([Change("/1/left", b"over")])
        begun = []

        async def begin():
            if not begun:
                begun.append(await other.begin_next())
                await begun[0].add({"/left": b"2", "/b": b"2"})

        store.before_commit = begin
        with pytest.raises(StaleRevision):
            await kept.sweep()
        await begun[0].bring_into_force([])
        assert await contents(store) == {"/left": b"2", "/b": b"2"}

    asyncio.run(scenario())


def test_what_a_failed_restore_has_left_is_deleted_and_nothing_of_another_member():
    async def scenario():
        store = MemoryStore()
        kept = await generation_with(store, a=b"1")
        failed = await kept.begin_next()
        await failed.add({"/left": b"over"})
        await failed.require_kept()
        other = await GenerationStore.open(store)
        following = await other.begin_next()
        await following.add({"/b": b"2"})
        with pytest.raises(StaleRevision):
            await failed.require_kept()
        await failed.give_up()
        await kept.sweep_unclaimed()
        await following.require_kept()
        await following.give_up()
        await other.sweep_unclaimed()
        assert await store.list("/0", "/:", limit=9) == ["/0/a"]
        assert await contents(store) == {"/a": b"1"}

    asyncio.run(scenario())


def test_nothing_decided_in_a_replaced_generation_is_written():
    async def scenario():
        store = MemoryStore()
        new = await generation_with(store, a=b"1")
        old = new.pinned()
        following = await new.begin_next()
        await following.bring_into_force([])
        assert (await old.get("/a")).value == b"1"
        assert await new.get("/a") is None
        for change in (Change("/a", b"late"), Change(LOCAL, b"late")):
            with pytest.raises(StaleRevision):
                await old.commit([change])
        with pytest.raises(StaleRevision):
            await following.add({"/x": b"late"})
        revision = await new.commit([Change("/a", b"2")], checks=[Check("/b", MISSING)])
        with pytest.raises(StaleRevision):
            await old.sweep()
        with pytest.raises(StaleRevision):
            await new.commit([Change("/c", b"3")], checks=[Check("/a", revision - 1)])

    asyncio.run(scenario())


def test_a_store_follows_a_switch_it_was_not_told_of():
    async def scenario():
        store = MemoryStore()
        one = await generation_with(store, a=b"1")
        other = await GenerationStore.open(store)
        assert not await one.follow()
        await (await other.begin_next()).bring_into_force([])
        assert await one.follow()
        await one.commit([Change("/a", b"2")])
        assert await contents(store) == {"/a": b"2"}

    asyncio.run(scenario())


def test_only_one_of_two_switches_happens():
    async def scenario():
        store = MemoryStore()
        old = await generation_with(store, a=b"1")
        first, second = await old.begin_next(), await old.begin_next()
        with pytest.raises(StaleRevision):
            await first.bring_into_force([Change(LOCAL, b"1")])
        await second.bring_into_force([])
        with pytest.raises(StaleRevision):
            await second.bring_into_force([Change(LOCAL, b"2")])
        assert await store.get(LOCAL) is None

    asyncio.run(scenario())


def test_a_switch_that_is_not_written_changes_nothing():
    async def scenario():
        store = WatchedStore()
        old = await generation_with(store, a=b"1")
        following = await old.begin_next()
        await following.add({"/b": b"2"})
        store.crash_after(0)
        with pytest.raises(Crash):
            await following.bring_into_force([Change(LOCAL, b"2")])
        assert await contents(store) == {"/a": b"1"}
        assert await store.get(LOCAL) is None

    asyncio.run(scenario())


@given(number=st.integers(0, 200), leftovers=st.sets(st.integers(0, 200), max_size=8))
def test_a_sweep_removes_every_generation_but_the_one_in_force(number, leftovers):
    async def scenario():
        store = MemoryStore()
        await store.commit([Change(POINTER, b"%d" % number), Change(LOCAL, b"kept")])
        generation = await generation_with(store, a=b"1")
        await store.commit([Change(f"/{other}/b", b"x") for other in leftovers - {number}])
        await generation.sweep()
        assert await store.list(*EVERYTHING, limit=9) == sorted([f"/{number}/a", POINTER, LOCAL])

    asyncio.run(scenario())


def test_a_sweep_is_made_of_bounded_commits():
    async def scenario():
        store = WatchedStore()
        old = await generation_with(store, a=b"1")
        following = await old.begin_next()
        for start in range(0, 2000, 500):
            await following.add({f"/{start + number}": b"" for number in range(500)})
        store.commits.clear()
        await old.sweep()
        removed = [REMOVED_AT_ONCE] * (2000 // REMOVED_AT_ONCE)
        # The record of the restore comes first.
        assert [len(paths) for paths in store.commits] == [1, *removed]
        assert await contents(store) == {"/a": b"1"}

    asyncio.run(scenario())


def test_a_pointer_that_is_no_number_is_refused():
    async def scenario():
        store = MemoryStore()
        await store.commit([Change(POINTER, b"../")])
        with pytest.raises(CorruptRecord):
            await GenerationStore.open(store)

    asyncio.run(scenario())
