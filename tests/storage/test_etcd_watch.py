"""What a member hears of the changes of others, and up to when it has heard all."""

import asyncio
import contextlib
import time

import pytest

from keystead.errors import StoreUnavailable
from keystead.etcd.messages import PutRequest
from keystead.etcd.protobuf import encode
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.etcd_watch import EtcdWatch
from keystead.storage.backends.etcd_writer import LastTransaction
from keystead.storage.generations import POINTER
from keystead.storage.key_value_store import Change
from tests.support import etcd_calls
from tests.support.etcd import WAIT_SECONDS, Cluster, PatientClient, needs_etcd
from tests.support.unreliable_socket import UnreliableSocket

pytestmark = needs_etcd

OWN_LIMIT = f"--max-request-bytes={1536 * 1024}"
"""What an etcd takes in a request by itself, as that of a member does."""


class Heard:
    """A follower that notes what it hears."""

    def __init__(self):
        self.events = []
        self.as_of, self.is_alone = -1.0, None
        self.noted = asyncio.Condition()

    def changed(self, paths):
        self.note(*paths)

    def lost(self):
        self.note("lost")

    def up_to_date(self, as_of, *, is_alone):
        self.as_of, self.is_alone = as_of, is_alone
        self.note()

    def note(self, *events):
        self.events += events
        self.waiter = asyncio.ensure_future(self.notify())

    async def notify(self):
        async with self.noted:
            self.noted.notify_all()

    async def all_of(self, moment):
        """Wait until everything before `moment` is heard, and return it."""
        async with self.noted:
            condition = self.noted.wait_for(lambda: self.as_of >= moment)
            await asyncio.wait_for(condition, WAIT_SECONDS)
        heard, self.events = self.events, []
        return heard


async def nothing_is_own(_revision):
    return False


@contextlib.asynccontextmanager
async def following(path, every_seconds=0.05, is_own=nothing_is_own):
    heard = Heard()
    client = PatientClient(str(path))
    watch = EtcdWatch(client, heard, time.monotonic, every_seconds=every_seconds, is_own=is_own)
    task = asyncio.create_task(watch.run())
    try:
        yield heard, watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


@contextlib.asynccontextmanager
async def storing(member, device="writer"):
    store = EtcdStore(PatientClient(str(member.socket)), device=device)
    try:
        yield store
    finally:
        await store.close()


async def commit_at_last(store, change):
    """Commit even if a leader has to be elected first, which takes long on a busy machine."""
    while True:
        with contextlib.suppress(StoreUnavailable):
            return await store.commit([change])


def test_a_member_hears_of_each_change_in_the_generation_in_force_and_of_no_other(etcd_member):
    async def main():
        async with storing(etcd_member) as store, following(etcd_member.socket) as (heard, _):
            await store.commit([Change(POINTER, b"3")])
            assert "lost" in await heard.all_of(time.monotonic())
            await store.commit([Change("/3/key/a", b"1"), Change("/4/key/b", b"1")])
            await store.commit([Change("/3/key/a", None)])
            await store.commit([Change("/30/key/a", b"1")])
            assert await heard.all_of(time.monotonic()) == ["/3/key/a", "/3/key/a"]
            await store.commit([Change(POINTER, b"4"), Change("/3/key/c", b"1")])
            assert POINTER in await heard.all_of(time.monotonic())
            await store.commit([Change("/4/key/b", b"2")])
            assert await heard.all_of(time.monotonic()) == ["/4/key/b"]
            await store.commit([Change(POINTER, None)])

    asyncio.run(main())


def test_a_watch_begins_with_a_revision_that_exists_and_does_not_tell_it_again(etcd_member):
    class NotingClient(PatientClient):
        """Notes the first revisions of watches. Later versions of etcd do not tell the progress
        of a watch that begins with a revision to come.
        """

        starts = ()

        @contextlib.asynccontextmanager
        async def open(self, method):
            async with super().open(method) as stream:
                send = stream.send

                def noting(request):
                    if request.create_request:
                        self.starts += (request.create_request.start_revision,)
                    send(request)

                stream.send = noting
                yield stream

    async def main():
        async with storing(etcd_member) as store:
            latest = await store.commit([Change(POINTER, b"5"), Change("/5/key/a", b"1")])
            heard, client = Heard(), NotingClient(str(etcd_member.socket))
            watch = EtcdWatch(
                client, heard, time.monotonic, every_seconds=0.05, is_own=nothing_is_own
            )
            task = asyncio.create_task(watch.run())
            assert await heard.all_of(time.monotonic()) == ["lost"]
            assert client.starts == (latest, latest)
            await store.commit([Change("/5/key/a", b"2")])
            assert await heard.all_of(time.monotonic()) == ["/5/key/a"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()
            await store.commit([Change(POINTER, None)])

    asyncio.run(main())


def test_a_watch_that_is_cancelled_ends_whatever_happens_at_that_moment(etcd_member):
    async def main():
        async with following(etcd_member.socket) as (heard, _):
            await heard.all_of(time.monotonic())
        for turns in range(12):
            heard = Heard()
            client = PatientClient(str(etcd_member.socket))
            watch = EtcdWatch(
                client, heard, time.monotonic, every_seconds=60, is_own=nothing_is_own
            )
            task = asyncio.create_task(watch.run())
            await heard.all_of(time.monotonic())
            await asyncio.sleep(0)
            watch.confirm_now()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=WAIT_SECONDS)
            assert done, f"it goes on after {turns} turns"
            await client.close()

    asyncio.run(main())


class InterruptedWatch(EtcdWatch):
    """A watch of two, between whose beginnings something else happens, once."""

    between = None

    async def _created(self, stream):
        await super()._created(stream)
        happens, self.between = self.between, None
        if happens is not None:
            await happens()


def test_a_generation_that_comes_into_force_while_the_watch_begins_is_followed(etcd_member):
    async def main():
        heard, client = Heard(), PatientClient(str(etcd_member.socket))
        async with storing(etcd_member) as store:
            watch = InterruptedWatch(
                client, heard, time.monotonic, every_seconds=0.05, is_own=nothing_is_own
            )
            watch.between = lambda: store.commit([Change(POINTER, b"7")])
            task = asyncio.create_task(watch.run())
            assert "lost" in await heard.all_of(time.monotonic())
            await store.commit([Change("/7/key/a", b"1")])
            assert await heard.all_of(time.monotonic()) == ["/7/key/a"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.commit([Change(POINTER, None)])
        await client.close()

    asyncio.run(main())


def test_a_member_hears_nothing_of_what_it_has_changed_itself(etcd_member):
    async def main():
        async with (
            storing(etcd_member) as own,
            storing(etcd_member, device="other") as other,
            following(etcd_member.socket, is_own=own.has_made) as (heard, _),
        ):
            await heard.all_of(time.monotonic())

            async def write(store, name):
                for number in range(30):
                    await store.commit([Change(f"/0/{name}/{number}", b"1")])

            await asyncio.gather(write(own, "mine"), write(other, "theirs"))
            found = await heard.all_of(time.monotonic())
            assert found == [f"/0/theirs/{number}" for number in range(30)]
            assert heard.is_alone

    asyncio.run(main())


LAST = encode(LastTransaction(bytes(16), ("/store/0/key/a",)))
OF_EARLIER_SOFTWARE = [b"\xff" * 16, LAST[18:], b""]
OF_LATER_SOFTWARE = LAST + b"\x1a\x01?"


@pytest.mark.parametrize("said", [*OF_EARLIER_SOFTWARE, OF_LATER_SOFTWARE])
def test_a_device_that_does_not_say_what_it_has_changed_may_have_changed_anything(
    etcd_member, said
):
    async def main():
        client = PatientClient(str(etcd_member.socket))
        async with following(etcd_member.socket) as (heard, _):
            await heard.all_of(time.monotonic())
            await client.call(etcd_calls.PUT, PutRequest(b"/writer/unknown/last", said))
            assert await heard.all_of(time.monotonic()) == ["lost"]
        await client.close()

    asyncio.run(main())


def test_a_confirmation_that_is_asked_for_does_not_wait_for_the_next_quarter(etcd_member):
    async def main():
        async with (
            storing(etcd_member) as store,
            following(etcd_member.socket, every_seconds=3600) as (heard, watch),
        ):
            await heard.all_of(0)
            await store.commit([Change("/0/key/a", b"1")])
            asked = time.monotonic()
            watch.confirm_now()
            assert "/0/key/a" in await heard.all_of(asked)

    asyncio.run(main())


def test_after_a_lost_connection_nothing_between_is_missed_and_nothing_forgotten(
    etcd_member, tmp_path
):
    async def main():
        async with (
            UnreliableSocket(tmp_path / "unreliable.sock", etcd_member.socket) as link,
            storing(etcd_member) as store,
            following(link.path) as (heard, _),
        ):
            await heard.all_of(time.monotonic())
            link.loses_answers = True
            await store.commit([Change("/0/key/a", b"1")])
            link.cut()
            link.loses_answers = False
            assert set(await heard.all_of(time.monotonic())) == {"/0/key/a"}

    asyncio.run(main())


def test_a_member_without_a_majority_is_never_up_to_date_and_then_hears_what_it_missed():
    async def main(cluster):
        first, second, third = cluster.members
        async with storing(second) as store, following(first.socket) as (heard, _):
            await heard.all_of(time.monotonic())
            second.pause()
            third.pause()
            cut = time.monotonic()
            await asyncio.sleep(1)  # Long enough for many confirmations, if there were any.
            assert heard.as_of <= cut
            assert not heard.is_alone
            second.resume()
            third.resume()
            await commit_at_last(store, Change("/0/key/a", b"1"))
            assert set(await heard.all_of(time.monotonic())) == {"/0/key/a"}

    with Cluster(3) as cluster:
        asyncio.run(main(cluster))


def test_a_member_that_missed_what_is_compacted_hears_that_anything_may_have_changed(
    etcd_member, tmp_path
):
    async def main():
        client = PatientClient(str(etcd_member.socket))
        async with (
            UnreliableSocket(tmp_path / "unreliable.sock", etcd_member.socket) as link,
            storing(etcd_member) as store,
            following(link.path) as (heard, _),
        ):
            await heard.all_of(time.monotonic())
            link.loses_answers = True
            await store.commit([Change("/0/key/a", b"1")])
            revision = await store.commit([Change("/0/key/a", b"2")])
            await client.call(
                etcd_calls.COMPACT, etcd_calls.CompactionRequest(revision, physical=True)
            )
            link.cut()
            link.loses_answers = False
            assert "lost" in await heard.all_of(time.monotonic())
        await client.close()

    asyncio.run(main())


PARTS = 40


def part(number):
    """The paths of one of many changes whose names are as long as an answer of etcd's allows."""
    return [f"/6/key/{number}/{name:0600}" for name in range(400)]


@contextlib.asynccontextmanager
async def far_behind(member, heard, **options):
    """A watch that has heard of a store, and then nothing of many large changes."""
    async with storing(member) as store:
        await store.commit([Change(POINTER, b"6")])
        client = PatientClient(str(member.socket))
        watch = EtcdWatch(client, heard, time.monotonic, every_seconds=0.05, **options)
        task = asyncio.create_task(watch.run())
        assert await heard.all_of(time.monotonic()) == ["lost"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for number in range(PARTS):
            await store.commit([Change(path, b"") for path in part(number)])
        try:
            yield watch
        finally:
            await client.close()


def test_a_watch_that_ends_while_it_catches_up_goes_on_where_it_was():
    """etcd tells up to a thousand revisions in one answer, in fragments of 2 MiB."""

    class Interrupting(Heard):
        task = None

        def changed(self, paths):
            super().changed(paths)
            if self.task is not None and len(self.events) > PARTS // 2 * len(part(0)):
                self.task.cancel()

    async def main(member):
        heard = Interrupting()
        async with far_behind(member, heard, is_own=nothing_is_own) as watch:
            heard.task = asyncio.create_task(watch.run())
            await asyncio.gather(heard.task, return_exceptions=True)
            told, heard.events = heard.events, []
            heard.task, task = None, asyncio.create_task(watch.run())
            rest = await heard.all_of(time.monotonic())
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        everything = [path for number in range(PARTS) for path in part(number)]
        assert 1 < len(told) < len(everything)
        assert set(told + rest) == set(everything)
        assert len(told + rest) <= len(everything) + len(part(0))

    with Cluster(1, OWN_LIMIT) as cluster:
        asyncio.run(main(cluster.members[0]))


def test_a_watch_that_cannot_catch_up_in_time_starts_over(monkeypatch):
    monkeypatch.setattr("keystead.storage.backends.etcd_watch._PROGRESS_SECONDS", 0.5)
    asked = []

    async def slowly(revision):
        asked.append(revision)
        await asyncio.sleep(1)
        return False

    async def main(member):
        heard = Heard()
        async with far_behind(member, heard, is_own=slowly) as watch:
            task = asyncio.create_task(watch.run())
            assert "lost" in await heard.all_of(time.monotonic())
            assert len(asked) < PARTS
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with Cluster(1, OWN_LIMIT) as cluster:
        asyncio.run(main(cluster.members[0]))
