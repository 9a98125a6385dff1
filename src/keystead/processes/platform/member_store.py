"""The store of a member of a cluster: etcd for what is shared, SQLite for what is its own."""

import asyncio
import time
from functools import partial
from typing import Final

from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError
from keystead.etcd.messages import RangeRequest
from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.platform.news import NewsForCore
from keystead.platform.service import StoreService
from keystead.processes.etcd.member import MemberDirectory
from keystead.processes.platform.opened_store import Opened
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.etcd_watch import EtcdWatch
from keystead.storage.backends.split import SplitStore, remove_movable
from keystead.storage.backends.sqlite import SqliteStore
from keystead.wire.messages import Freshness

_RETRY_SECONDS: Final = 0.1
_TRIES_BEFORE_A_LINE: Final = 100


class MemberStore(SplitStore):
    """A member's store, with what has to be closed."""

    def __init__(self, shared: EtcdStore, own: SqliteStore, *, device: str) -> None:
        super().__init__(shared, own, device=device)
        self._backends = (shared, own)

    async def close(self) -> None:
        """Finish the commits already accepted, and close both stores."""
        for backend in self._backends:
            await backend.close()


async def open_member_store(data: DataDirectory, log: Log) -> Opened:
    """Return the store, once a majority of the cluster can be reached."""
    own = SqliteStore(data.database)
    directory = MemberDirectory(data.etcd)
    device = directory.record().name
    client = EtcdClient(str(directory.socket))
    await majority(client, log)
    await remove_movable(own)
    shared = EtcdStore(client, device=device)
    return Opened(MemberStore(shared, own, device=device), partial(_follow, client, shared))


async def _follow(
    client: EtcdClient, shared: EtcdStore, service: StoreService, freshness: Freshness
) -> None:
    news = NewsForCore(service.connection)
    every_seconds = freshness.seconds / 4
    watch = EtcdWatch(
        client, news, time.monotonic, every_seconds=every_seconds, is_own=shared.has_made
    )
    service.confirm_now = watch.confirm_now
    await watch.run()


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
