"""Quotas: a namespace that holds as much as it may is refused more.

What it holds is counted at its first change after unlock, and kept in memory. A change reserves
room before it is committed, so that of two at once one gets the last place. It is conditional on
the namespace's record, which a new quota writes anew: a change that began before that fails, and is
tried again under the new quota.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
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
"""By the names that `Quota` has for them."""

_SCAN_BYTES: Final = 2**18
_SHOWN: Final = {
    "keys": ("key", "keys"),
    "users": ("user", "users"),
    "key_bytes": ("byte of keys", "bytes of keys"),
}
"""What is counted, for a limit of one and for any other."""


@dataclass(frozen=True, slots=True)
class _Count:
    """What a namespace holds, with what is reserved."""

    revision: int
    """Of the namespace's record when this was counted."""
    quota: Quota
    held: Amounts

    def reserve(self, growth: Amounts) -> None:
        """Count what a change adds, before it is made; QuotaExceeded when that is too much."""
        limits = msgspec.structs.asdict(self.quota)
        for name, more in (+growth).items():
            limit = limits[name]
            if limit is not None and self.held[name] + more > limit:
                counted = _SHOWN[name][limit != 1]
                raise QuotaExceeded(f"This namespace may hold {limit} {counted}, no more.")
        self.held.update(+growth)

    def settle(self, growth: Amounts, commit: asyncio.Future[int]) -> None:
        """Take off what the change removed, or what it had reserved if it was not made."""
        is_made = not commit.cancelled() and commit.exception() is None
        self.held.subtract(-growth if is_made else +growth)


@dataclass(slots=True)
class _Known:
    """What is known of one namespace; the lock is held while it is counted."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: _Count | None = None


class Quotas:
    """Commits what adds to namespaces, or removes from them, within their quotas."""

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
        """Count everything anew when it is needed: the store may not hold what was counted."""
        self._known.clear()

    async def commit_keys(self, namespace: NamespaceId | None, changes: Sequence[Change]) -> int:
        """Commit changes to keys of a namespace (None: the root, which has no quota).

        Raises NotFound if it does not exist, QuotaExceeded, and what `KeyValueStore.commit` does.
        """
        if namespace is None:
            return await self._store.commit(changes)
        check = await self._namespaces.require(namespace)
        return await self._commit(namespace, check, changes)

    async def commit_user(self, namespace: NamespaceId | None, change: Change) -> int:
        """Commit the making or removal of a user. The namespace may not exist yet.

        Raises QuotaExceeded, and what `KeyValueStore.commit` does.
        """
        if namespace is None:
            return await self._store.commit([change])
        check = await self._namespaces.condition(namespace)
        if check.revision == MISSING:
            return await self._store.commit([change], checks=[check])
        return await self._commit(namespace, check, [change])

    async def commit_counts(self, changes: Sequence[tuple[NamespaceId | None, Change]]) -> int:
        """Commit records of keys that differ by their counts of uses, which no quota refuses.

        Raises what `KeyValueStore.commit` does.
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
        count.reserve(growth)
        commit = asyncio.ensure_future(self._store.commit(changes, checks=[check]))
        # Also when this caller is cancelled, which does not take back what the store was given.
        commit.add_done_callback(lambda done: count.settle(growth, done))
        return await asyncio.shield(commit)

    async def _growth(self, namespace: NamespaceId, changes: Sequence[Change]) -> Amounts:
        """Return what the changes add to what is stored now; what they remove counts negative.

        A key that comes from another namespace counts there until that is counted anew.
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
        """Return what the namespace holds; StaleRevision if that revision is not its latest."""
        known = self._known.setdefault(namespace, _Known())
        async with known.lock:
            count = known.count
            if count is None or count.revision < revision:
                count = known.count = await self._counted(namespace, revision)
        if count.revision > revision:
            raise StaleRevision("The namespace has changed meanwhile.")
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
