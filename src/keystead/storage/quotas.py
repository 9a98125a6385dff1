"""Quotas: limits on what a namespace may hold.

The content of a namespace is counted at its first change after unlock, and kept in memory. A change
reserves its part of the quota before it is committed, so that only one of two simultaneous changes
gets the last place. Setting a quota rewrites the namespace's record, and every change depends on
that record: a change that began earlier fails, and is tried again under the new quota.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from keystead.errors import QuotaExceeded, StaleRevision
from keystead.model.ids import NAMESPACE_SEPARATOR, NamespaceId
from keystead.model.quota import UNLIMITED, Quota
from keystead.storage import key_paths
from keystead.storage.key_value_store import MISSING, Change, Check, KeyValueStore, Record
from keystead.storage.namespaces import NamespaceStore
from keystead.storage.sealed_records import AFTER_LAST_ID, FIRST_ID, SealedRecords

Amounts = Counter[str]
"""Amounts by the names of the fields of `Quota`."""

_SCAN_BYTES: Final = 2**18
_SHOWN: Final = {
    "keys": ("key", "keys"),
    "users": ("user", "users"),
    "key_bytes": ("byte of keys", "bytes of keys"),
}
"""The names of the counted things, in singular and plural."""


class _Count(msgspec.Struct, frozen=True):
    """What a namespace holds, including reservations."""

    revision: int
    """The revision of the namespace's record at the time of counting."""
    quota: Quota
    held: Amounts

    def reserve(self, growth: Amounts) -> None:
        """Reserve what a change adds. Raises QuotaExceeded if the quota does not allow it."""
        limits = msgspec.structs.asdict(self.quota)
        for name, more in (+growth).items():
            limit = limits[name]
            if limit is not None and self.held[name] + more > limit:
                counted = _SHOWN[name][limit != 1]
                raise QuotaExceeded(f"This namespace may hold {limit} {counted}, no more.")
        self.held.update(+growth)

    def settle(self, growth: Amounts, commit: asyncio.Future[int]) -> None:
        """Subtract what the change removed, or its reservation if it was not made."""
        is_made = not commit.cancelled() and commit.exception() is None
        self.held.subtract(-growth if is_made else +growth)


class _Known(msgspec.Struct):
    """The count of one namespace. The lock is held while counting."""

    lock: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    count: _Count | None = None
    times_forgotten: int = 0
    under_way: set[asyncio.Future[int]] = msgspec.field(default_factory=set)
    """Commits with reservations, which a new count would miss."""


class Quotas:
    """Commits changes to keys and users within the quotas of their namespaces."""

    def __init__(
        self,
        store: KeyValueStore,
        namespaces: NamespaceStore,
        *,
        users: SealedRecords,
        keys: SealedRecords,
    ) -> None:
        self._store = store
        self._namespaces = namespaces
        self._users = users
        self._keys = keys
        self._known: dict[NamespaceId, _Known] = {}

    def forget(self) -> None:
        """Forget all counts, because the content of the store may have changed."""
        for known in self._known.values():
            known.count = None
            known.times_forgotten += 1

    async def commit_keys(self, namespace: NamespaceId | None, changes: Sequence[Change]) -> int:
        """Commit changes to keys of a namespace. None stands for the root, which has no quota.

        Raises NotFound if the namespace does not exist, QuotaExceeded if its quota does not allow
        the changes, and what `KeyValueStore.commit` raises.
        """
        if namespace is None:
            return await self._store.commit(changes)
        check = await self._namespaces.require(namespace)
        return await self._commit(namespace, check, changes)

    async def commit_user(self, namespace: NamespaceId | None, change: Change) -> int:
        """Commit the creation or removal of a user, whose namespace need not exist yet.

        Raises QuotaExceeded, and what `KeyValueStore.commit` raises.
        """
        if namespace is None:
            return await self._store.commit([change])
        check = await self._namespaces.condition(namespace)
        if check.revision == MISSING:
            return await self._store.commit([change], checks=[check])
        return await self._commit(namespace, check, [change])

    async def commit_counts(self, changes: Sequence[tuple[NamespaceId | None, Change]]) -> int:
        """Commit records of keys with new counts of uses, which quotas never refuse.

        Raises what `KeyValueStore.commit` raises.
        """
        grown = [
            (known.count, await self._growth(namespace, [change]))
            for namespace, change in changes
            if namespace is not None
            and (known := self._known.get(namespace))
            and known.count is not None
        ]
        revision = await self._store.commit([change for _, change in changes])
        for count, growth in grown:
            count.held.update(growth)
        return revision

    async def _commit(self, namespace: NamespaceId, check: Check, changes: Sequence[Change]) -> int:
        count = await self._count_at(namespace, check.revision)
        if count.quota == UNLIMITED:
            return await self._store.commit(changes, checks=[check])
        growth = await self._growth(namespace, changes)
        # Again, because it may be forgotten by now. Nothing comes between this and the commit.
        count = await self._count_at(namespace, check.revision)
        count.reserve(growth)
        commit = asyncio.ensure_future(self._store.commit(changes, checks=[check]))
        under_way = self._known[namespace].under_way
        under_way.add(commit)
        commit.add_done_callback(under_way.discard)
        # Also if this caller is cancelled: the store makes the commit nevertheless.
        commit.add_done_callback(lambda done: count.settle(growth, done))
        return await asyncio.shield(commit)

    async def _growth(self, namespace: NamespaceId, changes: Sequence[Change]) -> Amounts:
        """Return what the changes add to the stored content. Removals count as negative.

        A key moved from another namespace is still counted there until the next count.
        """
        keys, users = self._keys_in(namespace), self._users_in(namespace)
        growth = Amounts()
        for change in changes:
            old = await self._store.get(change.path)
            more = (change.value is not None) - (old is not None)
            if change.path.startswith(keys):
                size = len(change.value or b"") - (len(old.value) if old else 0)
                growth.update(keys=more, key_bytes=size)
            elif change.path.startswith(users):
                growth.update(users=more)
        return growth

    async def _count_at(self, namespace: NamespaceId, revision: int) -> _Count:
        """Return the namespace's count. Raises StaleRevision if `revision` is not its latest."""
        known = self._known.setdefault(namespace, _Known())
        async with known.lock:
            count = known.count
            if count is None or count.revision < revision:
                while known.under_way:
                    await asyncio.wait(known.under_way)
                times_forgotten = known.times_forgotten
                count = await self._counted(namespace, revision)
                known.count = count if known.times_forgotten == times_forgotten else None
        if count.revision > revision:
            raise StaleRevision("The namespace has changed in the meantime.")
        return count

    async def _counted(self, namespace: NamespaceId, revision: int) -> _Count:
        quota = await self._namespaces.quota(namespace)
        held = Amounts()
        if quota != UNLIMITED:
            async for _ in self._scan(self._users_in(namespace)):
                held.update(users=1)
            async for record in self._scan(self._keys_in(namespace)):
                held.update(keys=1, key_bytes=len(record.entry.value))
        return _Count(revision, quota, held)

    async def _scan(self, prefix: str) -> AsyncIterator[Record]:
        start, stop = prefix + FIRST_ID, prefix + AFTER_LAST_ID
        while page := await self._store.scan(start, stop, limit_bytes=_SCAN_BYTES):
            for record in page:
                yield record
            start = page[-1].path + "\0"

    def _keys_in(self, namespace: NamespaceId) -> str:
        return self._keys.path(key_paths.folder(namespace))

    def _users_in(self, namespace: NamespaceId) -> str:
        return self._users.path(namespace + NAMESPACE_SEPARATOR)
