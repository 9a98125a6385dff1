"""The store of a member of a cluster: etcd for what is shared, SQLite for what is its own."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from keystead.deadlines import within
from keystead.errors import StoreUnavailable
from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError
from keystead.etcd.messages import RangeRequest
from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.platform.joining import JoiningService, forget_joined, joined
from keystead.platform.members import MembersService
from keystead.platform.news import NewsForCore
from keystead.platform.service import StoreService
from keystead.processes.etcd.member import QUOTA_BYTES, MemberDirectory
from keystead.processes.platform.old_revisions import OldRevisions
from keystead.processes.platform.opened_store import OpenedStore
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.etcd_watch import EtcdWatch
from keystead.storage.backends.split import SplitStore, remove_movable
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change, Check, Record, Snapshot, StoredValue
from keystead.storage.paths import LOCAL
from keystead.wire.clock import seconds_since_boot
from keystead.wire.cluster_messages import MembersAnswer, MembersStep
from keystead.wire.platform_messages import FreshnessSettings, JoinCluster, MembersQuestion

MAJORITY_SECONDS: Final = 15.0
"""How long a question may wait for the first word of a majority. Members that start at the same
time need some seconds to find each other."""
_ROOM_BYTES: Final = 512 * 2**20
"""What is kept of the database's quota for deletions."""
_RETRY_SECONDS: Final = 0.1
_TRIES_BEFORE_A_LINE: Final = 100


class MemberStore(SplitStore):
    """A member's store, with what has to be closed.

    Until a majority is reached, it gives out this device's records as they are in SQLite: etcd
    needs the TLS identity to reach any other member. All else waits for the majority for a while.
    """

    def __init__(
        self,
        shared: EtcdStore,
        own: SqliteStore,
        *,
        device: str,
        socket: Path,
        majority: asyncio.Task[None],
    ) -> None:
        """`socket` is where this member's etcd listens."""
        super().__init__(shared, own, device=device)
        self._socket = socket
        self._backends = (shared, own)
        self._sqlite = own
        self._majority = majority

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None. Raises StoreUnavailable if no majority answers."""
        if not self._majority.done() and path.startswith(LOCAL):
            return await self._sqlite.get(path)
        await self._reached()
        return await super().get(path)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises StoreUnavailable if no majority answers.
        """
        await self._reached()
        return await super().list(start, stop, limit=limit)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop).

        Raises StoreUnavailable if no majority answers.
        """
        await self._reached()
        return await super().scan(start, stop, limit_bytes=limit_bytes)

    async def snapshot(self) -> Snapshot:
        """Return the shared records as they are now.

        Raises StoreUnavailable if no majority answers.
        """
        await self._reached()
        return await super().snapshot()

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none. Raises what `KeyValueStore.commit` does."""
        await self._reached()
        return await super().commit(changes, checks=checks)

    async def close(self) -> None:
        """Finish the commits already accepted, and close both stores."""
        self._majority.cancel()
        for backend in self._backends:
            await backend.close()

    async def _reached(self) -> None:
        if self._majority.done():
            return
        try:
            await within(MAJORITY_SECONDS, asyncio.shield(self._majority))
        except TimeoutError:
            raise StoreUnavailable(await self._why()) from None

    async def _why(self) -> str:
        try:
            _, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return "The etcd of this HSM does not run. The server's log says why."
        writer.close()
        return "No majority of the cluster's members is in reach of this one."


async def open_member_store(data: DataDirectory, log: Log) -> OpenedStore:
    """Return the store of a member. It does not wait for a majority of the cluster."""
    own = SqliteStore(data.database)
    directory = MemberDirectory(data.etcd)
    device = directory.record().name
    client = EtcdClient(str(directory.socket))
    _ = await own.commit([Change(one.path, one.value) for one in joined(data.path)])
    forget_joined(data.path)
    await remove_movable(own)
    reached = asyncio.get_running_loop().create_task(majority(client, log))
    shared = EtcdStore(client, device=device)
    store = MemberStore(shared, own, device=device, socket=directory.socket, majority=reached)
    answer = partial(_answer, MembersService(client, quota_bytes=QUOTA_BYTES))
    return OpenedStore(store, own, partial(_follow, client, shared, log), answer)


async def open_store_that_joins(data: DataDirectory, _log: Log) -> OpenedStore:
    """Return the store of an HSM that is in no cluster and can join one."""
    own = SqliteStore(data.database)
    forget_joined(data.path)
    service = JoiningService(data.path, MemberDirectory(data.joining).socket)
    return OpenedStore(own, own, members=partial(_answer, service))


async def _answer(
    service: MembersService | JoiningService, question: MembersQuestion
) -> MembersAnswer:
    if isinstance(service, MembersService) and isinstance(question, MembersStep):
        return await service.answer(question)
    if isinstance(service, JoiningService) and isinstance(question, JoinCluster):
        return await service.answer(question)
    return MembersAnswer(question.id, refusal="state", message="Not in this state.")


async def _follow(
    client: EtcdClient,
    shared: EtcdStore,
    log: Log,
    service: StoreService,
    freshness: FreshnessSettings,
) -> None:
    news = NewsForCore(service.connection)
    every_seconds = freshness.seconds / 4
    watch = EtcdWatch(
        client, news, seconds_since_boot, every_seconds=every_seconds, is_own=shared.has_made
    )
    service.confirm_now = watch.confirm_now

    def used(count: int) -> None:
        shared.is_crowded = count > QUOTA_BYTES - _ROOM_BYTES

    revisions = OldRevisions(client, log, seconds_since_boot, used=used)
    _ = await asyncio.gather(watch.run(), revisions.look_forever())


async def majority(client: EtcdClient, log: Log) -> None:
    """Wait until etcd can answer for a majority of its members."""
    tries = 0
    while True:
        try:
            await client.call(calls.RANGE, RangeRequest(b"\0"))
        except EtcdError as error:
            if tries % _TRIES_BEFORE_A_LINE == 0:
                log.warning("waiting for a majority of the cluster", reason=str(error))
            tries += 1
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return
