"""Keys: sealed at rest, cached in memory while in use, their uses counted."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

import msgspec

from keystead import algorithms
from keystead.errors import (
    AlreadyExists,
    CommitTooLarge,
    CorruptRecord,
    NotFound,
    StaleRevision,
)
from keystead.model.ids import NamespaceId
from keystead.model.keys import KeyPath, KeyRecord
from keystead.storage import key_paths, records
from keystead.storage.conditional import is_witnessed
from keystead.storage.key_cache import KeyCache, StoredKey
from keystead.storage.key_lists import KeyLists
from keystead.storage.key_value_store import MISSING, Change
from keystead.storage.namespaces import NamespaceStore
from keystead.storage.parts import grouped, in_parts
from keystead.storage.quotas import Quotas
from keystead.storage.retry import retry_when_stale
from keystead.storage.sealed_records import PageOf, SealedRecords
from keystead.storage.use_counts import UseCounts
from keystead.storage.use_limits import KeyLimits, UseLimits

_FLUSH_RECORDS = 100
"""The most records in one commit when use counts are flushed, if the store takes so many."""
_FLUSH_BYTES = 2**20
"""The approximate most bytes in one commit when use counts are flushed."""
_FLUSH_READS = 32
"""Records that a flush reads at the same time. If it read them one by one, it could not keep up
with callers that use many different keys, and the pending counts would grow with the number of
keys."""

NO_LEASES: Final[Mapping[KeyPath, UseLimits]] = MappingProxyType({})


class _Counted(msgspec.Struct, frozen=True):
    """A record that is about to be written with `count` more uses."""

    path: KeyPath
    record: KeyRecord
    count: int
    change: Change
    leased: UseLimits | None
    """What is given back with this change."""


class KeyStore:
    """All keys of all namespaces."""

    def __init__(
        self,
        sealed: SealedRecords,
        namespaces: NamespaceStore,
        quotas: Quotas,
        *,
        cache_size: int,
        page_of: PageOf,
    ) -> None:
        """`cache_size` is the greatest number of decrypted keys kept in memory."""
        self._sealed = sealed
        self._page_of = page_of
        self._namespaces = namespaces
        self._quotas = quotas
        self._cache = KeyCache(cache_size)
        self._counts = UseCounts()
        self.limits: Final = KeyLimits()
        self.lists: Final = KeyLists(sealed, self._known_or_parsed)

        self.cached: Final = self._cache.get
        """Returns a key if it is in memory. After None, the key may still be in the store."""
        self.is_current: Final = self._cache.holds
        """Whether this key object is still the cached one. If not, the key may have changed."""
        self.count_use: Final = self._counts.count
        """Counts one use of a key, in memory."""

    # --- reading ---------------------------------------------------------------------------

    async def get(self, path: KeyPath) -> StoredKey | None:
        """Return a parsed key, or None if there is none. Raises CorruptRecord if unreadable."""
        if is_witnessed():
            return await self._load(path)
        return self._cache.get(path) or await self._cache.load(path, lambda: self._load(path))

    async def read(self, path: KeyPath) -> tuple[KeyRecord, int] | None:
        """Return a key's record and revision without parsing the key or keeping it in memory."""
        opened = await self._sealed.get(key_paths.name_of(path))
        if opened is None:
            return None
        record = records.decode_key(opened.plaintext, path=self._path(path))
        return record, opened.revision

    async def exists(self, path: KeyPath) -> bool:
        """Whether the key exists."""
        return self._cache.get(path) is not None or await self._revision(path) != MISSING

    # --- changing --------------------------------------------------------------------------

    async def put(self, path: KeyPath, record: KeyRecord, *, expected: int | None) -> int:
        """Write a key and return its revision.

        Raises StaleRevision if the record does not have the `expected` revision, AlreadyExists if
        that is MISSING and the key exists, NotFound if the namespace does not exist, and
        QuotaExceeded if the namespace's quota does not allow it.
        """
        if expected:
            return await self._write(path, record, expected)
        return await retry_when_stale(partial(self._create, path, record, expected))

    def change(self, path: KeyPath, record: KeyRecord, *, expected: int | None = None) -> Change:
        """Return the change that writes a key, for a commit with others. Call `drop` after it."""
        name = key_paths.name_of(path)
        return self._sealed.put(name, records.encode_key(record), expected=expected)

    async def update(self, path: KeyPath, edit: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
        """Replace a key's record by `edit(record)`, and return the new record.

        `edit` may run more than once, each time on the latest record. Raises NotFound if there is
        no such key.
        """

        async def attempt() -> KeyRecord:
            record, revision = await self._require(path)
            edited = edit(record)
            _ = await self.put(path, edited, expected=revision)
            return edited

        async with self._sealed.changing(key_paths.name_of(path)):
            return await retry_when_stale(attempt)

    async def delete(self, path: KeyPath) -> None:
        """Remove a key, readable or not. Raises NotFound if there is none."""

        async def attempt() -> None:
            revision = await self._revision(path)
            if revision == MISSING:
                raise NotFound(f"Key {path.key_id} does not exist.")
            name = key_paths.name_of(path)
            deletion = self._sealed.delete(name, expected=revision)
            _ = await self._quotas.commit_keys(path.namespace, [deletion])

        try:
            await retry_when_stale(attempt)
        finally:
            self._cache.forget(path)
            self.limits.forget(path)
        self._counts.forget(path)

    async def move(self, source: KeyPath, target: KeyPath) -> None:
        """Give a key another ID or namespace, in one commit. Its count of uses moves with it.

        Raises NotFound if the key or namespace does not exist, and AlreadyExists if the new name is
        taken.
        """

        async def attempt() -> None:
            record, revision = await self._require(source)
            if await self._revision(target) != MISSING:
                raise AlreadyExists(f"Key {target.key_id} already exists.")
            deletion = self._sealed.delete(key_paths.name_of(source), expected=revision)
            creation = self.change(target, record, expected=MISSING)
            _ = await self._quotas.commit_keys(target.namespace, [deletion, creation])

        try:
            await retry_when_stale(attempt)
        finally:
            self._cache.forget(source)
            self._cache.forget(target)
        self._counts.move(source, target)
        self.limits.move(source, target)

    async def delete_namespace(self, namespace: NamespaceId) -> str:
        """Remove a namespace and all its keys. See `namespaces` for crashes.

        Return why keys may be left, or "". Raises NotFound if there is no such namespace.
        """
        try:
            await self._namespaces.begin_deletion(namespace)
        finally:
            self._cache.forget_namespace(namespace)
        self._counts.forget_namespace(namespace)
        self.limits.forget_namespace(namespace)
        left = await self._namespaces.finish_deletion(namespace)
        # Keys loaded in between were read from records that are gone now.
        self._cache.forget_namespace(namespace)
        self._counts.forget_namespace(namespace)
        return left

    def forget(self, path: KeyPath) -> None:
        """Forget a decrypted key: another member has changed it.

        Leased uses stay, unless its record has another policy when it is read again.
        """
        self._cache.forget(path)
        self._quotas.forget()

    def forget_counts(self) -> None:
        """Forget the counts for quotas: another member has changed a quota."""
        self._quotas.forget()

    def forget_all(self) -> None:
        """Forget every decrypted key, leased uses and the counts for quotas.

        The counts of uses stay.
        """
        self._cache.clear()
        self.lists.forget()
        self._quotas.forget()
        self.limits.clear()

    def drop(self) -> None:
        """Forget every decrypted key and every pending count."""
        self.forget_all()
        self._counts.clear()

    async def change_policy(self, path: KeyPath, edit: Callable[[KeyRecord], KeyRecord]) -> None:
        """Replace a key's policy by `edit(record)`. What the old policy has leased is lost.

        Raises what `update` does.
        """
        try:
            await self.update(path, edit)
        finally:
            # The policy may have changed even if this has failed.
            self._cache.forget(path)
            self.limits.forget(path)

    async def forget_idle_limits(self, now: float) -> None:
        """Forget limits that a key's next use would find as new. `now` is of a monotonic clock."""
        await self.limits.forget_idle(now, is_held=self._cache.has)

    # --- counting --------------------------------------------------------------------------

    def operations(self, path: KeyPath, stored: int) -> int:
        """Return how often a key was used: the count in its record and the pending uses."""
        return stored + self._counts.of(path)

    async def flush_counts(self, leased: Mapping[KeyPath, UseLimits] = NO_LEASES) -> None:
        """Write the pending counts into the records, and give back what is `leased`.

        The counts stay pending after StoreUnavailable, and the leases are lost. Raises
        CommitTooLarge at the end if a record has become too large for the store.
        """
        batch: list[_Counted] = []
        too_large: list[CommitTooLarge] = []
        size = 0
        at_once = _FLUSH_RECORDS
        store = partial(self._store_counts, too_large)
        pending = dict.fromkeys([*self._counts.paths(), *leased])
        paths = await grouped(pending, lambda path: self._page_of(self._path(path)))
        for start in range(0, len(paths), _FLUSH_READS):
            some = paths[start : start + _FLUSH_READS]
            read = [self._with_count(one, leased.get(one), self._cache.get(one)) for one in some]
            for counted in await asyncio.gather(*read):
                if counted is None:
                    continue
                batch.append(counted)
                size += len(counted.change.value or b"")
                if len(batch) >= at_once or size >= _FLUSH_BYTES:
                    # Each record comes with a page of versions, as large as there are keys.
                    at_once = await in_parts(batch, at_once, store)
                    batch, size = [], 0
        _ = await in_parts(batch, at_once, store)
        if too_large:
            raise too_large[0]

    async def _with_count(
        self, path: KeyPath, leased: UseLimits | None, known: StoredKey | None
    ) -> _Counted | None:
        """Return a key's record with its pending count added, or None if the key is gone."""
        try:
            found = (known.record, known.revision) if known else await self._require(path)
        except (NotFound, CorruptRecord):
            self._counts.forget(path)
            return None
        record, revision = found
        count = self._counts.of(path)
        record = replace(record, operations=record.operations + count)
        if leased is not None:
            record = leased.given_back(record)
        change = self.change(path, record, expected=revision)
        return _Counted(path, record, count, change, leased)

    async def _store_counts(
        self, too_large: list[CommitTooLarge], batch: Sequence[_Counted]
    ) -> None:
        """Write a batch, or note that its only record is too large for the store."""
        try:
            await self._commit_counts(batch)
        except CommitTooLarge as error:
            if len(batch) > 1:
                raise
            too_large.append(error)
        except StaleRevision:
            for counted in batch:
                await retry_when_stale(partial(self._store_count, counted))

    async def _store_count(self, stale: _Counted) -> None:
        counted = await self._with_count(stale.path, stale.leased, None)
        if counted is not None:
            await self._commit_counts([counted])

    async def _commit_counts(self, batch: Sequence[_Counted]) -> None:
        """Write records with their new counts, also if the caller is cancelled meanwhile.

        Otherwise counts that are written would stay pending, and be added again.
        """
        await asyncio.shield(asyncio.create_task(self._write_counts(batch)))

    async def _write_counts(self, batch: Sequence[_Counted]) -> None:
        try:
            revision = await self._quotas.commit_counts(
                [(counted.path.namespace, counted.change) for counted in batch]
            )
        except BaseException:
            for counted in batch:
                self._cache.forget(counted.path)
            raise
        for counted in batch:
            self._counts.stored(counted.path, counted.count)
            if counted.leased is not None:
                counted.leased.leased = 0  # It is given back once, also if this is tried again.
            self._changed(counted.path, counted.record, revision)

    # --- inside ----------------------------------------------------------------------------

    async def _load(self, path: KeyPath) -> StoredKey | None:
        found = await self.read(path)
        return None if found is None else self._parsed(path, *found)

    def _parsed(self, path: KeyPath, record: KeyRecord, revision: int) -> StoredKey:
        try:
            private = algorithms.load(record.private)
        except CorruptRecord:
            raise records.corrupt(self._path(path)) from None
        return StoredKey(path, record, revision, private, self.limits.of(path, record))

    def _known_or_parsed(self, path: KeyPath, record: KeyRecord, revision: int) -> StoredKey:
        """Return a key with this private key. Only the record says which one, not the platform."""
        key = self._cache.peek(path)
        if key is not None and key.record.private == record.private:
            return key
        return self._parsed(path, record, revision)

    async def _create(self, path: KeyPath, record: KeyRecord, expected: int | None) -> int:
        try:
            revision = await self._write(path, record, expected)
        except StaleRevision:
            if expected == MISSING and await self._revision(path) != MISSING:
                raise AlreadyExists(f"Key {path.key_id} already exists.") from None
            raise
        # A use of a deleted key with this name may have been counted late.
        self._counts.forget(path)
        self.limits.forget(path)
        return revision

    async def _write(self, path: KeyPath, record: KeyRecord, expected: int | None) -> int:
        change = self.change(path, record, expected=expected)
        try:
            revision = await self._quotas.commit_keys(path.namespace, [change])
        except BaseException:  # Also a cancelled one: the commit may still be made.
            self._cache.forget(path)
            raise
        self._changed(path, record, revision)
        return revision

    async def _require(self, path: KeyPath) -> tuple[KeyRecord, int]:
        found = await self.read(path)
        if found is None:
            raise NotFound(f"Key {path.key_id} does not exist.")
        return found

    async def _revision(self, path: KeyPath) -> int:
        return await self._sealed.revision(key_paths.name_of(path))

    def _changed(self, path: KeyPath, record: KeyRecord, revision: int) -> None:
        known = self._cache.get(path)
        self._cache.forget(path)
        if known is None or known.revision >= revision:
            return  # What another member of the cluster has changed since was read already.
        if known.record.private == record.private:
            limits = self.limits.of(path, record)
            self._cache.put(known.with_record(record, revision, limits))

    def _path(self, path: KeyPath) -> str:
        return self._sealed.path(key_paths.name_of(path))
