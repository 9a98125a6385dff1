"""Stores for tests: one that can be watched and made to fail, and typed stores to fill."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from keystead import algorithms
from keystead.model.ids import KeyId, NamespaceId
from keystead.model.keys import KeyPath, KeyRecord
from keystead.model.secret import Secret
from keystead.storage.domain import DomainStores
from keystead.storage.key_value_store import (
    MISSING,
    Change,
    Check,
    KeyValueStore,
    Record,
    Snapshot,
    StoredValue,
)
from tests.support.memory_store import MemoryStore


class Crash(Exception):
    """The process ended here."""


class WatchedStore:
    """A store in memory that counts what it is asked, and yields to other tasks as a real one does.

    `before_commit` runs before each commit and may raise or await; reads wait for `hold_gets`.
    """

    def __init__(self) -> None:
        self.kept = MemoryStore()
        self.gets: list[str] = []
        self.scans: list[str] = []
        self.most_scans_at_once = 0
        self._scans_under_way = 0
        self.commits: list[list[str]] = []
        self.before_commit: Callable[[], Awaitable[None] | None] = lambda: None
        self.hold_gets: asyncio.Event | None = None
        self.turns: Callable[[], int] = lambda: 1

    def crash_after(self, commits: int) -> None:
        """Let so many commits pass, and raise Crash before each one that follows."""
        left = commits

        def crash() -> None:
            nonlocal left
            if not left:
                raise Crash
            left -= 1

        self.before_commit = crash

    def hold_next_commit(self) -> tuple[asyncio.Event, asyncio.Event]:
        """Return an event that the next commit sets, and one that it then waits for."""
        is_writing, may_write = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            self.before_commit = lambda: None
            is_writing.set()
            await may_write.wait()

        self.before_commit = wait
        return is_writing, may_write

    async def get(self, path: str) -> StoredValue | None:
        self.gets.append(path)
        await self._yield()
        entry = await self.kept.get(path)
        if self.hold_gets is not None:
            await self.hold_gets.wait()
        return entry

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        await self._yield()
        return await self.kept.list(start, stop, limit=limit)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        self.scans.append(start)
        self._scans_under_way += 1
        self.most_scans_at_once = max(self.most_scans_at_once, self._scans_under_way)
        try:
            await self._yield()
            return await self.kept.scan(start, stop, limit_bytes=limit_bytes)
        finally:
            self._scans_under_way -= 1

    async def snapshot(self) -> Snapshot:
        await self._yield()
        return await self.kept.snapshot()

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        await self._yield()
        interference = self.before_commit()
        if interference is not None:
            await interference
        revision = await self.kept.commit(changes, checks=checks)
        self.commits.append([change.path for change in changes])
        await self._yield()
        return revision

    async def paths(self) -> Sequence[str]:
        """Return every path there is."""
        return await self.kept.list("/", "0", limit=10**6)

    async def _yield(self) -> None:
        for _ in range(self.turns()):
            await asyncio.sleep(0)


class DetachedStore(WatchedStore):
    """Makes commits in their order, also those whose caller is cancelled, as the platform does."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        return await asyncio.shield(asyncio.create_task(self._commit(changes, checks)))

    async def _commit(self, changes: Sequence[Change], checks: Sequence[Check]) -> int:
        async with self._turn:
            return await super().commit(changes, checks=checks)


DOMAIN_KEY = Secret(bytes(range(32)))


def open_domain(store: KeyValueStore, *, key_cache: int = 100) -> DomainStores:
    """Return typed stores over the records there are, as after a restart."""
    return DomainStores(store, DOMAIN_KEY, key_cache=key_cache)


async def new_domain(store: KeyValueStore, *, key_cache: int = 100) -> DomainStores:
    """Return empty typed stores, as after provisioning."""
    stores = open_domain(store, key_cache=key_cache)
    await store.commit(stores.initial())
    return stores


def key_path(name: str, namespace: str | None = None) -> KeyPath:
    """Return where a key of this name lies."""
    return KeyPath(None if namespace is None else NamespaceId(namespace), KeyId(name))


def key_record(type_name: str = "EC_P256", **fields: object) -> KeyRecord:
    """Return a record with a fresh key."""
    private = algorithms.BY_NAME[type_name].generate(None)
    defaults = {"private": private.material(), "mechanisms": frozenset({"ECDSA_Signature"})}
    return KeyRecord(**(defaults | fields))


async def with_key(
    store: WatchedStore | None = None, **options: int
) -> tuple[WatchedStore, DomainStores, KeyRecord]:
    """Return a store with one key, `a`, its typed stores and the key's record."""
    store = store or WatchedStore()
    domain = await new_domain(store, **options)
    record = key_record()
    await domain.keys.put(key_path("a"), record, expected=MISSING)
    store.gets.clear()
    store.commits.clear()
    return store, domain, record
