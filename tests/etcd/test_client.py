"""The client with a real etcd."""

import asyncio
import contextlib

import pytest

from keystead.etcd import calls
from keystead.etcd import messages as m
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdInDoubt, EtcdRefused, EtcdUnavailable
from tests.support import etcd_calls
from tests.support.etcd import Cluster, PatientClient, needs_etcd

pytestmark = needs_etcd


@pytest.fixture(scope="module")
def member():
    with Cluster(1) as cluster:
        yield cluster.members[0]


def run(member, scenario):
    async def main():
        async with contextlib.AsyncExitStack() as stack:
            client = PatientClient(str(member.socket))
            stack.push_async_callback(client.close)
            await scenario(client)

    asyncio.run(main())


def test_a_record_is_written_read_and_deleted(member):
    async def scenario(client):
        put = await client.call(etcd_calls.PUT, m.PutRequest(b"/a", b"\0one"))
        found = await client.call(calls.RANGE, m.RangeRequest(b"/a"))
        assert [(kv.key, kv.value) for kv in found.kvs] == [(b"/a", b"\0one")]
        assert found.kvs[0].mod_revision == put.header.revision
        gone = await client.call(etcd_calls.DELETE_RANGE, m.DeleteRangeRequest(b"/a"))
        assert gone.deleted == 1
        assert not (await client.call(calls.RANGE, m.RangeRequest(b"/a"))).kvs

    run(member, scenario)


def test_a_transaction_does_the_one_or_the_other(member):
    write = m.RequestOp(request_put=m.PutRequest(b"/t", b"1"))
    read = m.RequestOp(request_range=m.RangeRequest(b"/t"))
    new = m.TxnRequest((m.Compare(key=b"/t", mod_revision=0),), (write,), (read,))

    async def scenario(client):
        first = await client.call(calls.TXN, new)
        second = await client.call(calls.TXN, new)
        assert (first.succeeded, second.succeeded) == (True, False)
        assert second.responses[0].response_range.kvs[0].value == b"1"

    run(member, scenario)


def test_many_calls_at_once_are_answered_each_with_its_own(member):
    async def scenario(client):
        async def write_and_read(number):
            key = b"/many/%d" % number
            await client.call(etcd_calls.PUT, m.PutRequest(key, key * 100))
            found = await client.call(calls.RANGE, m.RangeRequest(key))
            assert found.kvs[0].value == key * 100

        await asyncio.gather(*(write_and_read(number) for number in range(400)))

    run(member, scenario)


def test_a_refusal_has_the_words_of_etcd_and_ends_nothing(member):
    async def scenario(client):
        for size in (10_600_000, 13_000_000):
            with pytest.raises(EtcdRefused, match="larg"):
                await client.call(etcd_calls.PUT, m.PutRequest(b"/big", bytes(size)))
        with pytest.raises(EtcdRefused, match="key is not provided"):
            await client.call(etcd_calls.PUT, m.PutRequest())
        with pytest.raises(EtcdRefused, match="member not found"):
            await client.call(calls.MEMBER_REMOVE, m.MemberRequest(12345))
        await client.call(etcd_calls.PUT, m.PutRequest(b"/big", bytes(5_000_000)))
        found = await client.call(calls.RANGE, m.RangeRequest(b"/big"))
        assert found.kvs[0].value == bytes(5_000_000)

    run(member, scenario)


def test_a_watch_tells_of_changes_and_of_its_progress(member):
    create = m.WatchCreateRequest(b"/w/", b"/w0")

    async def scenario(client):
        async with client.open(calls.WATCH) as watch:
            watch.send(m.WatchRequest(create_request=create))
            assert (await watch.receive()).created
            put = await client.call(etcd_calls.PUT, m.PutRequest(b"/w/a", b"1"))
            told = await watch.receive()
            assert [event.kv.key for event in told.events] == [b"/w/a"]
            await client.call(etcd_calls.DELETE_RANGE, m.DeleteRangeRequest(b"/w/a"))
            told = await watch.receive()
            assert [event.kv.key for event in told.events] == [b"/w/a"]
            other = await client.call(etcd_calls.PUT, m.PutRequest(b"/elsewhere", b"1"))
            watch.send(m.WatchRequest(progress_request=m.WatchProgressRequest()))
            progress = await watch.receive()
            assert progress.header.revision >= other.header.revision > put.header.revision
            assert not progress.events

    run(member, scenario)


def test_a_snapshot_comes_in_parts_that_the_reader_may_leave_alone_for_a_while(member):
    async def scenario(client):
        for number in range(4):
            await client.call(etcd_calls.PUT, m.PutRequest(b"/s%d" % number, bytes(10**6)))
        async with client.open(etcd_calls.SNAPSHOT) as stream:
            stream.send(etcd_calls.SnapshotRequest(), is_last=True)
            # A reader that does nothing does not keep others from being answered.
            await client.call(etcd_calls.PUT, m.PutRequest(b"/a", b"1"))
            size = remaining = 0
            while (part := await stream.receive()) is not None:
                size += len(part.blob)
                remaining = part.remaining_bytes
        assert size > 4 * 10**6
        assert remaining == 0

    run(member, scenario)


def test_members_and_the_state_of_the_member_are_read(member):
    async def scenario(client):
        status = await client.call(calls.STATUS, m.StatusRequest())
        listed = await client.call(calls.MEMBER_LIST, m.MemberListRequest(linearizable=True))
        assert [one.name for one in listed.members] == ["m0"]
        assert status.leader == listed.members[0].id == status.header.member_id
        assert not (await client.call(etcd_calls.ALARM, etcd_calls.AlarmRequest())).alarms

    run(member, scenario)


def test_a_member_that_is_paused_leaves_the_call_in_doubt_and_then_goes_on(member):
    async def scenario(client):
        await client.call(etcd_calls.PUT, m.PutRequest(b"/p", b"1"))
        member.pause()
        try:
            with pytest.raises(EtcdInDoubt, match="not answered within"):
                await client.call(etcd_calls.PUT, m.PutRequest(b"/p", b"2"), seconds=0.3)
        finally:
            member.resume()
        await client.call(etcd_calls.PUT, m.PutRequest(b"/p", b"3"))

    run(member, scenario)


def test_without_a_member_nothing_is_asked(tmp_path):
    async def main():
        client = EtcdClient(str(tmp_path / "none.sock"))
        with pytest.raises(EtcdUnavailable) as raised:
            await client.call(etcd_calls.PUT, m.PutRequest(b"/a", b""))
        assert not isinstance(raised.value, EtcdInDoubt)

    asyncio.run(main())


def test_a_killed_member_ends_what_is_under_way_and_is_found_again_after_its_start():
    async def scenario(client, cluster):
        (member,) = cluster.members
        async with client.open(calls.WATCH) as watch:
            watch.send(m.WatchRequest(create_request=m.WatchCreateRequest(b"/")))
            assert (await watch.receive()).created
            member.kill()
            with pytest.raises(EtcdInDoubt):
                await watch.receive()
        with pytest.raises(EtcdUnavailable):
            await client.call(etcd_calls.PUT, m.PutRequest(b"/a", b"1"))
        member.start(cluster.members)
        member.wait()
        await client.call(etcd_calls.PUT, m.PutRequest(b"/a", b"1"))

    with Cluster(1) as cluster:
        run(cluster.members[0], lambda client: scenario(client, cluster))
