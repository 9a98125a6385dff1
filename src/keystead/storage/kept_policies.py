"""What a restore must not loosen: frozen policies, and how many uses of a key are left.

A restore replaces every record by those of a file, which may be older. So it takes the present
records of keys with such policies along, as copies beside the new records. When the new records are
opened, each key that is still there gets the stricter of both, before anyone can use it.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from keystead.errors import Conflict, CorruptRecord
from keystead.model.keys import KeyRecord
from keystead.storage import key_paths, records
from keystead.storage.generations import NextGeneration
from keystead.storage.key_value_store import Change, Check, KeyValueStore, Record
from keystead.storage.retry import retry_when_stale
from keystead.storage.sealed_records import SealedRecords
from keystead.storage.use_limits import KeyLimits

_ROOT: Final = "/kept-policy/"
"""The root of the pages, each with copies of some records by the names of the keys."""
_PAGES: Final = "/kept-policy-pages"
"""How many pages there are. They are deleted before it."""
_PAGE_BYTES: Final = 64 * 1024
_IN_DOUBT: Final = (
    "The restore might loosen the policy of a key, because not all records can be read. "
    "Reset the HSM and restore the backup then."
)
_MARK: Final = b'"policy":'
"""Is in the JSON of a record with a policy only: quotes inside a text have a backslash."""


class KeptPolicies:
    """The records that a restore takes along."""

    def __init__(self, store: KeyValueStore, keys: SealedRecords, limits: KeyLimits) -> None:
        self._store = store
        self._keys = keys
        self._limits = limits

    @asynccontextmanager
    async def kept_in(
        self, following: NextGeneration, present: AsyncGenerator[Record, None]
    ) -> AsyncIterator[None]:
        """Copy what must be kept into the generation that comes into force in this context.

        `present` are all records. Nothing is leased meanwhile: what is left of a key's uses must
        not fall after the copy. Raises Conflict if a record is missing from the store or is an
        older one: nobody knows which policy that key has.
        """
        async with self._limits.no_leases():
            try:
                async with aclosing(present):
                    await self._copy(following, present)
            except CorruptRecord as error:
                raise Conflict(f"{_IN_DOUBT} {error.message}") from None
            yield

    async def _copy(self, following: NextGeneration, present: AsyncGenerator[Record, None]) -> None:
        count = 0
        async with aclosing(self._pages(present)) as pages:
            async for page in pages:
                await following.add({_page_path(count): msgspec.msgpack.encode(page)})
                count += 1
        if count:
            await following.add({_PAGES: b"%d" % count})

    async def _pages(
        self, present: AsyncGenerator[Record, None]
    ) -> AsyncGenerator[dict[str, bytes], None]:
        """Yield the records of `present` that must be kept, by the names of their keys."""
        kept: dict[str, bytes] = {}
        size = 0
        async for record in present:
            if record.path.startswith(key_paths.ROOT) and self._is_kept(record):
                kept[_name(record)] = record.entry.value
                size += len(record.entry.value)
            if size >= _PAGE_BYTES:
                yield kept
                kept, size = {}, 0
        if kept:
            yield kept

    async def apply(self) -> None:
        """Give each key that was kept and is still there the stricter policy. Call it at unlock.

        Raises WriteRefused if the store cannot write, and CorruptRecord if a page was removed or
        put back: the keys must not be used then.
        """
        # Each page is asked for by name: a list would just lack one that was removed.
        pages = await self._store.get(_PAGES)
        if pages is None:
            return
        for number in range(int(pages.value)):
            await self._apply_page(_page_path(number))
        await retry_when_stale(partial(self._delete, _PAGES))

    async def _apply_page(self, path: str) -> None:
        page = await self._store.get(path)
        kept = {} if page is None else msgspec.msgpack.decode(page.value, type=dict[str, bytes])
        for name, value in kept.items():
            # All members of a cluster do this after a restore.
            await retry_when_stale(partial(self._apply_one, path, name, value))
        await retry_when_stale(partial(self._delete, path))

    async def _apply_one(self, path: str, name: str, kept: bytes) -> None:
        page = await self._store.get(path)
        if page is None:
            return  # Another member has applied it, and the key may have another policy since.
        changes = await self._stricter_record(name, kept)
        if changes:
            _ = await self._store.commit(changes, checks=[Check(path, page.revision)])

    async def _delete(self, path: str) -> None:
        entry = await self._store.get(path)
        if entry is not None:
            _ = await self._store.commit([Change(path, None, entry.revision)])

    def _is_kept(self, record: Record) -> bool:
        try:
            plaintext = self._keys.open(_name(record), record.entry.value)
            if _MARK not in plaintext:
                return False
            key = records.decode_key(plaintext, path=record.path)
        except CorruptRecord:
            return False
        policy = key.policy
        return policy is not None and (policy.document.frozen or key.uses_left is not None)

    async def _stricter_record(self, name: str, kept: bytes) -> list[Change]:
        """Return the change to the record of a key, if one is needed."""
        path = self._keys.path(name)
        try:
            old = records.decode_key(self._keys.open(name, kept), path=path)
            opened = await self._keys.get(name)
            new = None if opened is None else records.decode_key(opened.plaintext, path=path)
        except CorruptRecord:  # The new records are of another HSM, or this key cannot be used.
            return []
        if opened is None or new is None or (stricter := stricter_of(new, old)) == new:
            return []
        return [self._keys.put(name, records.encode_key(stricter), expected=opened.revision)]


def stricter_of(new: KeyRecord, old: KeyRecord) -> KeyRecord:
    """Return `new`, if it is the same key, with no more freedom than the policy of `old` gives."""
    policy = old.policy
    if policy is None or new.private != old.private:
        return new
    if policy.document.frozen or new.uses_left is None:
        left = old.uses_left
        if new.policy == policy and left is not None and new.uses_left is not None:
            left = min(left, new.uses_left)
        return replace(new, policy=policy, uses_left=left, uses_of=old.uses_of)
    if old.uses_left is None:
        return new
    return replace(new, uses_left=min(new.uses_left, old.uses_left))


def _name(record: Record) -> str:
    return record.path.removeprefix(key_paths.ROOT)


def _page_path(number: int) -> str:
    return f"{_ROOT}{number}"
