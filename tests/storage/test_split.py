"""A commit to both stores is made or not, whatever comes between its steps."""

import asyncio

import pytest

from keystead.errors import StaleRevision, StoreUnavailable, WriteRefused
from keystead.storage.backends.split import PENDING, SplitStore, remove_movable
from keystead.storage.key_value_store import MISSING, Change, Check
from tests.support.memory_store import MemoryStore

OWN, SHARED = "/local/device/config/tls", "/0/key/one"
BOTH = [Change(SHARED, b"shared"), Change(OWN, b"own")]


class FailingStore(MemoryStore):
    """A memory store whose next commit that writes fails in a chosen way."""

    def __init__(self) -> None:
        super().__init__()
        self.failure = None
        self.makes_it = False
        self.later = None

    async def commit(self, changes, *, checks=()):
        failure, self.failure = self.failure, None
        if failure is None:
            return await super().commit(changes, checks=checks)
        if self.makes_it:
            await super().commit(changes, checks=checks)
        self.later = lambda: MemoryStore.commit(self, changes, checks=checks)
        raise failure

    def fail(self, failure, *, makes_it=False):
        self.failure, self.makes_it = failure, makes_it


class Stores:
    def __init__(self):
        self.shared, self.own = FailingStore(), FailingStore()
        self.split = self.opened()

    def opened(self):
        """As after a restart."""
        return SplitStore(self.shared, self.own, device="device")

    async def values(self):
        again = self.opened()
        found = [await again.get(path) for path in (SHARED, OWN)]
        assert await self.own.get(PENDING) is None
        return [None if one is None else one.value for one in found]


@pytest.fixture
def stores():
    return Stores()


def test_each_record_is_in_its_store(stores):
    async def scenario():
        await stores.split.commit(BOTH)
        assert (await stores.split.get(OWN)).value == b"own"
        assert await stores.shared.get(OWN) is None
        assert await stores.own.get(SHARED) is None
        assert await stores.split.list("/0", "/z", limit=9) == [SHARED, "/decided/device", OWN]
        assert await stores.split.list("/0", "/z", limit=1) == [SHARED]
        page = await stores.split.scan("/local/", "/local0", limit_bytes=1000)
        assert [record.path for record in page] == [OWN]
        assert await stores.split.scan("/local0", "/local1", limit_bytes=1000) == []

    asyncio.run(scenario())


def test_the_journal_is_the_devices_own_and_the_record_of_an_action_is_with_its_changes(stores):
    async def scenario():
        paths = ["/journal/block/1", "/journal/head", "/journal/open/a/1", "/local/d/x"]
        await stores.split.commit([Change(path, b"1") for path in paths])
        shared = await stores.shared.list("", "\U0010ffff", limit=9)
        assert shared == ["/decided/device", "/journal/open/a/1"]
        assert await stores.own.list("", "\U0010ffff", limit=9) == [
            "/journal/block/1",
            "/journal/head",
            "/local/d/x",
        ]
        assert await stores.split.list("/e", "/z", limit=9) == paths
        await remove_movable(stores.own)
        assert await stores.split.list("/e", "/z", limit=9) == paths
        await remove_movable(stores.shared)
        assert await stores.shared.list("", "\U0010ffff", limit=9) == ["/decided/device"]

    asyncio.run(scenario())


def test_the_decision_is_not_listed_among_generations(stores):
    async def scenario():
        await stores.split.commit(BOTH)
        assert await stores.split.list("/0", "/:", limit=9) == [SHARED]

    asyncio.run(scenario())


def test_a_condition_on_either_store_stops_the_whole_commit(stores):
    async def scenario():
        revision = await stores.split.commit(BOTH)
        for changes, checks in (
            ([Change(SHARED, b"x", MISSING), Change(OWN, b"x")], []),
            ([Change(SHARED, b"x"), Change(OWN, b"x", MISSING)], []),
            ([Change(SHARED, b"x"), Change(OWN, b"x")], [Check(SHARED, revision + 9)]),
            ([Change(SHARED, b"x"), Change(OWN, b"x")], [Check(OWN, MISSING)]),
            ([Change(OWN, b"x")], [Check(SHARED, MISSING)]),
            ([Change(SHARED, b"x")], [Check(OWN, MISSING)]),
        ):
            with pytest.raises(StaleRevision):
                await stores.split.commit(changes, checks=checks)
            assert await stores.values() == [b"shared", b"own"]

    asyncio.run(scenario())


def test_conditions_that_hold_let_it_through(stores):
    async def scenario():
        revision = await stores.split.commit(BOTH)
        own = (await stores.split.get(OWN)).revision
        await stores.split.commit([Change(OWN, b"2")], checks=[Check(SHARED, revision)])
        own = (await stores.split.get(OWN)).revision
        await stores.split.commit([Change(SHARED, b"2")], checks=[Check(OWN, own)])
        await stores.split.commit([Change(SHARED, None), Change(OWN, b"3", own)])
        assert await stores.values() == [None, b"3"]

    asyncio.run(scenario())


@pytest.mark.parametrize("makes_it", [True, False])
def test_a_doubt_about_the_shared_part_is_settled_before_anything_own_is_read(stores, makes_it):
    async def scenario():
        stores.shared.fail(StoreUnavailable("lost"), makes_it=makes_it)
        with pytest.raises(StoreUnavailable):
            await stores.split.commit(BOTH)
        expected = b"own" if makes_it else None
        found = await stores.split.get(OWN)
        assert (found and found.value) == expected
        assert await stores.values() == [b"shared" if makes_it else None, expected]

    asyncio.run(scenario())


def test_a_shared_part_that_comes_late_is_not_made_once_it_was_given_up(stores):
    async def scenario():
        stores.shared.fail(StoreUnavailable("lost"))
        with pytest.raises(StoreUnavailable):
            await stores.split.commit(BOTH)
        assert await stores.split.get(OWN) is None
        with pytest.raises(StaleRevision):
            await stores.shared.later()
        assert await stores.values() == [None, None]

    asyncio.run(scenario())


def test_a_shared_part_that_comes_while_it_is_given_up_is_found(stores):
    async def scenario():
        stores.shared.fail(StoreUnavailable("lost"))
        with pytest.raises(StoreUnavailable):
            await stores.split.commit(BOTH)
        made = stores.shared.later

        async def commit(changes, *, checks=()):
            del stores.shared.commit
            await made()
            return await stores.shared.commit(changes, checks=checks)

        stores.shared.commit = commit
        assert (await stores.split.get(OWN)).value == b"own"
        assert await stores.values() == [b"shared", b"own"]

    asyncio.run(scenario())


def test_a_shared_part_that_is_refused_leaves_nothing_pending(stores):
    async def scenario():
        stores.shared.fail(WriteRefused("full"))
        with pytest.raises(WriteRefused):
            await stores.split.commit(BOTH)
        assert await stores.own.get(PENDING) is None
        assert await stores.values() == [None, None]

    asyncio.run(scenario())


@pytest.mark.parametrize("failure", [WriteRefused("full"), StoreUnavailable("lost")])
def test_an_own_part_that_cannot_be_applied_is_applied_later(stores, failure):
    async def scenario():
        commit = stores.shared.commit

        async def then_the_disk_is_full(changes, *, checks=()):
            revision = await commit(changes, checks=checks)
            stores.own.fail(failure)
            return revision

        stores.shared.commit = then_the_disk_is_full
        with pytest.raises(StoreUnavailable):
            await stores.split.commit(BOTH)
        del stores.shared.commit
        assert await stores.values() == [b"shared", b"own"]

    asyncio.run(scenario())


def test_commits_to_both_at_once_are_all_made(stores):
    async def scenario():
        await asyncio.gather(
            *(
                stores.split.commit([Change(f"/0/{n}", b"s"), Change(f"/local/d/{n}", b"o")])
                for n in range(20)
            )
        )
        assert len(await stores.split.list("/0/", "/00", limit=99)) == 20
        assert len(await stores.split.list("/local/", "/local0", limit=99)) == 20

    asyncio.run(scenario())
