"""What a restore must not loosen: frozen policies, and how many uses of a key are left.

A restore replaces every record by those of a file, which may be older. So it takes the present
records of keys with such policies along, as copies beside the new records. When the new records are
opened, each key that is still there gets the stricter of both, before anyone can use it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from keystead.errors import CorruptRecord
from keystead.model.keys import KeyRecord
from keystead.storage import key_paths, records
from keystead.storage.generations import NextGeneration
from keystead.storage.key_value_store import Change, KeyValueStore, Record
from keystead.storage.paths import list_paths
from keystead.storage.retry import retry_when_stale
from keystead.storage.sealed_records import SealedRecords
from keystead.storage.use_limits import KeyLimits

_ROOT: Final = "/kept-policy/"
_AFTER: Final = "\U0010ffff"
_SCAN_BYTES: Final = 64 * 1024
_MARK: Final = b'"policy":'
"""Is in the JSON of a record with a policy only: quotes inside a text have a backslash."""


class KeptPolicies:
    """The records that a restore takes along."""

    def __init__(self, store: KeyValueStore, keys: SealedRecords, limits: KeyLimits) -> None:
        self._store = store
        self._keys = keys
        self._limits = limits

    @asynccontextmanager
    async def kept_in(self, following: NextGeneration) -> AsyncIterator[None]:
        """Copy what must be kept into the generation that comes into force in this context.

        Nothing is leased meanwhile: what is left of a key's uses must not fall after the copy.
        """
        async with self._limits.no_leases():
            start = key_paths.ROOT
            while page := await self._store.scan(
                start, key_paths.ROOT + _AFTER, limit_bytes=_SCAN_BYTES
            ):
                kept = {_kept_path(one): one.entry.value for one in page if self._is_kept(one)}
                if kept:
                    await following.add(kept)
                start = page[-1].path + "\0"
            yield

    async def apply(self) -> None:
        """Give each key that was kept and is still there the stricter policy. Call it at unlock.

        Raises WriteRefused if the store cannot write: the keys must not be used then.
        """
        for path in await list_paths(self._store, _ROOT, _ROOT + _AFTER):
            # All members of a cluster do this after a restore.
            await retry_when_stale(partial(self._apply_one, path))

    async def _apply_one(self, path: str) -> None:
        entry = await self._store.get(path)
        if entry is None:
            return
        changes = [Change(path, None, entry.revision)]
        changes += await self._stricter_record(path.removeprefix(_ROOT), entry.value)
        _ = await self._store.commit(changes)

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


def _kept_path(record: Record) -> str:
    return _ROOT + _name(record)
