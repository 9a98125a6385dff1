"""A core for a member of a real etcd: its shared records are there, its own in memory."""

import asyncio
import contextlib
import os
import time

from keystead.model.secret import Secret
from keystead.operations.cluster_news import ClusterNews
from keystead.operations.freshness import Freshness
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.etcd_watch import EtcdWatch
from keystead.storage.backends.split import SplitStore
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore
from keystead.wire.platform_messages import FreshnessSettings as Settings
from tests.support.core import Clock, start_core
from tests.support.memory_store import MemoryStore


class HeardLater:
    """Passes on news to a core that is not there yet when the watch begins.

    `hold` keeps them back, as a slow watch does, until `release`.
    """

    def __init__(self):
        self.news = None
        self._held = None

    def hold(self):
        self._held = []

    def release(self):
        held, self._held = self._held, None
        for tell in held:
            tell(self.news)

    def changed(self, paths):
        self._tell(lambda news: news.changed(paths))

    def lost(self):
        self._tell(ClusterNews.any_changed)

    def up_to_date(self, as_of, *, is_alone):
        self._tell(lambda news: news.up_to_date(as_of, is_alone=is_alone))

    def _tell(self, tell):
        if self._held is not None:
            self._held.append(tell)
        elif self.news:
            tell(self.news)


class Device:
    """What a member keeps over restarts: its name, its key and its own records."""

    def __init__(self, name):
        self.name = name
        self.own = MemoryStore()
        self.key = None

    async def joins(self, other):
        """Take the own records of another device, sealed under a device key of its own."""
        self.key = Secret(os.urandom(32))
        records = await other.own.scan("/local/", "/local0", limit_bytes=10**6)
        await self.own.commit([Change(path, entry.value) for path, entry in records])
        theirs, mine = (LocalStore(self.own, one.key.copy()) for one in (other, self))
        await self.own.commit(await theirs.moved_to(mine))


@contextlib.asynccontextmanager
async def core_of(device, client, *, seconds, clock=None, wall_clock=None):
    """The core of a device, whose etcd is at the other end of the client.

    `seconds` is how old its answers may be. At the end, nothing is finished, as in a crash.
    """
    shared, heard = EtcdStore(client, device=device.name), HeardLater()
    watch = EtcdWatch(
        client, heard, time.monotonic, every_seconds=seconds / 4, is_own=shared.has_made
    )
    watching = asyncio.create_task(watch.run())
    try:
        core = await start_core(
            store=SplitStore(shared, device.own, device=device.name),
            device_key=device.key and device.key.copy(),
            clock=clock or Clock(),
            wall_clock=wall_clock,
            freshness=Freshness(Settings(seconds), time.monotonic, watch.confirm_now),
        )
        device.key = core.device_key.copy()
        core.heard, core.shared = heard, shared
        heard.news = ClusterNews(core.hsm, core.hsm.freshness)
        heard.news.any_changed()
        try:
            yield core
        finally:
            heard.news = None
            core.close()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await client.close()
