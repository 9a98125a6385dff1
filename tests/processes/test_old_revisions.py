"""Old revisions are forgotten before they fill etcd's database."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest

from keystead.errors import SnapshotUnavailable, WriteRefused
from keystead.etcd import calls
from keystead.etcd.messages import StatusRequest, StatusResponse
from keystead.journal.log import Log
from keystead.processes.platform.old_revisions import OldRevisions
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.key_value_store import Change
from tests.support.etcd import Cluster, Member, PatientClient, needs_etcd

pytestmark = needs_etcd

QUOTA_BYTES = 24 * 2**20
GROWN_BYTES = 4 * 2**20
KEPT_SECONDS = 60
PART = os.urandom(2**20)


@pytest.fixture
def alone() -> Iterator[Member]:
    with Cluster(1, f"--quota-backend-bytes={QUOTA_BYTES}") as cluster:
        yield cluster.members[0]


class Watched:
    """A store whose old revisions are looked after, with a clock of its own."""

    def __init__(self, member: Member) -> None:
        self.client = PatientClient(str(member.socket))
        self.store = EtcdStore(self.client, device="0123456789")
        self.seconds = 0.0
        self.lines: list[str] = []
        self.used: list[int] = []
        log = Log("platform", clock=lambda: 0, write=self.lines.append)
        self.old = OldRevisions(
            self.client,
            log,
            lambda: self.seconds,
            used=self.used.append,
            grown_bytes=GROWN_BYTES,
            kept_seconds=KEPT_SECONDS,
        )

    async def status(self) -> StatusResponse:
        return await self.client.call(calls.STATUS, StatusRequest())

    async def replace_record(self, times: int, *, seconds: float) -> None:
        """Write a megabyte so often, that many seconds apart."""
        for _ in range(times):
            await self.store.commit([Change("/a", PART)])
            self.seconds += seconds
            await self.old.look()
            # What is forgotten becomes free with one of etcd's next commits, each 0.1 s.
            await asyncio.sleep(0.05)


def with_watched(member: Member, scenario: Callable[[Watched], Awaitable[None]]) -> None:
    async def main() -> None:
        watched = Watched(member)
        try:
            await scenario(watched)
        finally:
            await watched.store.close()

    asyncio.run(main())


def test_more_than_the_quota_is_written_within_an_hour(alone: Member) -> None:
    async def scenario(watched: Watched) -> None:
        await watched.replace_record(2 * QUOTA_BYTES // len(PART), seconds=KEPT_SECONDS / 4)
        assert (await watched.status()).db_size < QUOTA_BYTES
        found = await watched.store.get("/a")
        assert found is not None
        assert found.value == PART
        assert "etcd forgets old revisions" in watched.lines[0]

    with_watched(alone, scenario)


def test_what_is_in_use_is_told(alone: Member) -> None:
    async def scenario(watched: Watched) -> None:
        await watched.replace_record(8, seconds=0.1)
        assert watched.used == sorted(watched.used)
        await asyncio.sleep(0.2)
        await watched.old.look()
        assert watched.used[-1] > 8 * len(PART)

    with_watched(alone, scenario)


def test_young_revisions_are_kept(alone: Member) -> None:
    async def scenario(watched: Watched) -> None:
        await watched.old.look()
        await watched.store.commit([Change("/a", b"before")])
        watched.seconds = KEPT_SECONDS
        await watched.old.look()
        snapshot = await watched.store.snapshot()
        with pytest.raises(WriteRefused):
            await watched.replace_record(2 * QUOTA_BYTES // len(PART), seconds=0.1)
        assert len(watched.lines) == 1
        found = await snapshot.get("/a")
        assert found is not None
        assert found.value == b"before"

    with_watched(alone, scenario)


def test_a_snapshot_of_a_moment_that_is_forgotten_says_so(alone: Member) -> None:
    async def scenario(watched: Watched) -> None:
        await watched.store.commit([Change("/a", b"before")])
        snapshot = await watched.store.snapshot()
        await watched.replace_record(16, seconds=KEPT_SECONDS)
        with pytest.raises(SnapshotUnavailable):
            await snapshot.get("/a")

    with_watched(alone, scenario)


def test_a_member_that_does_not_lead_forgets_nothing() -> None:
    leaders = 0

    async def scenario(watched: Watched) -> None:
        nonlocal leaders
        status = await watched.status()
        is_leader = status.leader == status.header.member_id
        leaders += is_leader
        await watched.replace_record(8, seconds=KEPT_SECONDS)
        assert bool(watched.lines) is is_leader

    with Cluster(2) as cluster:
        for member in cluster.members:
            with_watched(member, scenario)
    assert leaders == 1
