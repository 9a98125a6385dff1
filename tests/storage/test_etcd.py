"""What only the store in etcd can get into: commits in doubt, and large ranges."""

import asyncio
import contextlib

import pytest

from keystead.errors import CommitTooLarge, StaleRevision, StoreUnavailable
from keystead.etcd import calls
from keystead.etcd.messages import RangeRequest
from keystead.storage.backends import etcd_writer
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.etcd_writer import MAX_OPERATIONS, EtcdJob, Group
from keystead.storage.key_value_store import MISSING, Change, Check, StoredValue
from tests.support.etcd import Cluster, PatientClient, needs_etcd
from tests.support.unreliable_socket import UnreliableSocket

pytestmark = needs_etcd


@contextlib.asynccontextmanager
async def opened(path, device="0123456789"):
    store = EtcdStore(PatientClient(str(path)), device=device)
    try:
        yield store
    finally:
        await store.close()


async def appeared(store, path):
    while await store.get(path) is None:
        continue


def with_unreliable_socket(etcd_member, tmp_path, scenario):
    """Run a scenario with a store behind an unreliable socket, and another member's store."""

    async def main():
        path = tmp_path / "unreliable.sock"
        async with (
            UnreliableSocket(path, etcd_member.socket) as link,
            opened(path) as store,
            opened(etcd_member.socket, "other") as other,
        ):
            await other.commit([Change(one, None) for one in ("/a", "/b", "/c")])
            await store.commit([Change("/c", b"before")])
            await scenario(link, store, other)

    asyncio.run(main())


def test_a_commit_whose_answer_is_lost_is_known_to_be_made(etcd_member, tmp_path):
    async def scenario(link, store, other):
        link.loses_answers = True
        made = asyncio.create_task(store.commit([Change("/a", b"1", MISSING)]))
        await appeared(other, "/a")
        link.loses_answers = False
        link.cut()
        assert await other.get("/a") == StoredValue(b"1", await made)

    with_unreliable_socket(etcd_member, tmp_path, scenario)


def test_after_a_lost_answer_each_commit_of_a_group_learns_its_own_outcome(etcd_member, tmp_path):
    async def scenario(link, store, other):
        link.loses_answers = True
        commits = asyncio.gather(
            store.commit([Change("/a", b"1", MISSING)]),
            store.commit([Change("/c", b"2", MISSING)]),
            store.commit([Change("/b", b"3")]),
            return_exceptions=True,
        )
        await appeared(other, "/b")
        link.loses_answers = False
        link.cut()
        first, stale, third = await commits
        assert isinstance(stale, StaleRevision)
        assert first == third == (await other.get("/a")).revision
        assert (await other.get("/c")).value == b"before"

    with_unreliable_socket(etcd_member, tmp_path, scenario)


def test_a_commit_that_reaches_etcd_late_is_not_made_twice(etcd_member, tmp_path):
    async def scenario(link, store, other):
        link.holds_requests = True
        made = asyncio.create_task(store.commit([Change("/a", b"1", MISSING)]))
        await link.holding.wait()
        link.holds_requests = False
        link.cut()
        revision = await made
        await other.commit([Change("/a", None, revision)])
        link.deliver()
        # The late transaction would be made by now: etcd answers it before later ones.
        for number in range(20):
            await other.commit([Change("/b", b"%d" % number)])
        assert await other.get("/a") is None

    with_unreliable_socket(etcd_member, tmp_path, scenario)


def test_a_commit_stays_in_doubt_when_the_cluster_stays_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(etcd_writer, "PATIENCE_SECONDS", 0)

    async def main():
        async with opened(tmp_path / "none.sock") as store:
            with pytest.raises(StoreUnavailable, match="not known whether"):
                await store.commit([Change("/a", b"1")])

    asyncio.run(main())


def test_a_commit_that_is_too_large_is_refused_and_fails_no_other(etcd_member):
    async def main():
        async with opened(etcd_member.socket) as store:
            large, small = await asyncio.gather(
                store.commit([Change("/a", bytes(11_000_000))]),
                store.commit([Change("/b", b"1")]),
                return_exceptions=True,
            )
            assert isinstance(large, CommitTooLarge)
            assert (await store.get("/b")).revision == small

    asyncio.run(main())


def test_a_commit_may_have_as_many_changes_as_a_batch(etcd_member):
    async def main():
        async with opened(etcd_member.socket) as store:
            changes = [Change(f"/batch/{number}", b"", None) for number in range(500)]
            checks = [Check(f"/check/{number}", MISSING) for number in range(5)]
            revision = await store.commit(changes, checks=checks)
            changes = [Change(one.path, None, revision) for one in changes]
            await asyncio.gather(
                store.commit(changes, checks=checks), store.commit([Change("/b", b"1")])
            )
            assert await store.list("/batch/", "/batch0", limit=1) == []

    asyncio.run(main())


def test_a_scan_in_small_pages_reads_ahead_and_sees_its_own_commits(etcd_member):
    async def main():
        async with opened(etcd_member.socket) as store:
            paths = [f"/ahead/{number:04}" for number in range(300)]
            await store.commit([Change(path, bytes(1000)) for path in paths])
            found, start = [], "/ahead/"
            while page := await store.scan(start, "/ahead0", limit_bytes=5000):
                found += [record.path for record in page]
                start = page[-1].path + "\0"
            assert found == paths
            first = await store.scan("/ahead/", "/ahead0", limit_bytes=1)
            await store.commit([Change("/ahead/0001", None), Change("/ahead/0002", b"new")])
            second = await store.scan(first[0].path + "\0", "/ahead0", limit_bytes=1)
            assert [(one.path, one.entry.value) for one in second] == [("/ahead/0002", b"new")]
            await store.commit([Change(path, None) for path in paths])

    asyncio.run(main())


def test_records_that_are_larger_than_an_answer_are_read_one_by_one(etcd_member):
    async def main():
        async with opened(etcd_member.socket) as store:
            paths = ["/large/1", "/large/2", "/large/3"]
            for path in paths:
                await store.commit([Change(path, bytes(9_000_000))])
            page = await store.scan("/large/", "/large0", limit_bytes=10**8)
            assert [one.path for one in page] == paths[:1]
            await store.commit([Change(path, None) for path in paths])

    asyncio.run(main())


def test_what_the_store_keeps_for_itself_is_in_no_range(etcd_member):
    async def main():
        async with opened(etcd_member.socket) as store:
            await store.commit([Change("/a", b"1")])
            paths = await store.list("", "\U0010ffff", limit=1000)
            client = PatientClient(str(etcd_member.socket))
            found = await client.call(calls.RANGE, RangeRequest(b"/writer/", b"/writer0"))
            assert found.kvs
            await client.close()
            assert not [path for path in paths if "writer" in path]

    asyncio.run(main())


def job(*changes, checks=()):
    return EtcdJob(changes, checks, None)


def test_commits_that_depend_on_each_other_are_not_in_one_group():
    group = Group()
    group.add(job(Change("/a", b"1"), checks=[Check("/b", 5)]))
    assert group.takes(job(Change("/c", b"1"), checks=[Check("/b", 5)]))
    assert not group.takes(job(Change("/a", b"2")))
    assert not group.takes(job(Change("/b", b"2")))
    assert not group.takes(job(Change("/c", b"2"), checks=[Check("/a", 5)]))


def test_a_group_is_bounded_in_operations_and_bytes():
    group = Group()
    while group.takes(job(Change(f"/{len(group.jobs)}", b""))):
        group.add(job(Change(f"/{len(group.jobs)}", b"")))
    assert len(group.jobs) == 100
    wide = Group()
    wide.add(job(*(Change(f"/{number}", b"") for number in range(MAX_OPERATIONS - 3))))
    assert not wide.takes(job(Change("/a", b"")))
    large = Group()
    large.add(job(Change("/a", bytes(10**6))))
    assert not large.takes(job(Change("/b", b"")))


def test_three_members_read_and_write_the_same_records():
    async def main(cluster):
        async with contextlib.AsyncExitStack() as stack:
            stores = [
                await stack.enter_async_context(opened(member.socket, member.name))
                for member in cluster.members
            ]
            await stores[0].commit([Change("/n", b"0")])

            async def increment(store):
                while True:
                    entry = await store.get("/n")
                    new = b"%d" % (int(entry.value) + 1)
                    with contextlib.suppress(StaleRevision):
                        return await store.commit([Change("/n", new, entry.revision)])

            await asyncio.gather(*(increment(store) for store in stores for _ in range(5)))
            assert [(await store.get("/n")).value for store in stores] == [b"15"] * 3

    with Cluster(3) as cluster:
        asyncio.run(main(cluster))


def test_nothing_acknowledged_is_lost_when_the_leader_is_killed():
    async def main(cluster):
        async with contextlib.AsyncExitStack() as stack:
            stores = [
                await stack.enter_async_context(opened(member.socket, member.name))
                for member in cluster.members
            ]
            acknowledged = []

            async def write(store, name):
                for number in range(30):
                    path = f"/{name}/{number:03}"
                    with contextlib.suppress(StoreUnavailable):
                        acknowledged.append(
                            (path, await store.commit([Change(path, b"1", MISSING)]))
                        )

            writers = [
                asyncio.create_task(write(store, n)) for n, store in enumerate(stores) if n != 0
            ]
            await appeared(stores[1], "/1/005")
            cluster.members[0].kill()
            await asyncio.gather(*writers)
            for path, revision in acknowledged:
                assert await stores[1].get(path) == StoredValue(b"1", revision)
            assert acknowledged

    with Cluster(3) as cluster:
        asyncio.run(main(cluster))
