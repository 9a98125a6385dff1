"""The sealed records of one store. Each opens only under the store's key and at its own path."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from keystead.errors import CorruptRecord, DecryptionFailed, WriteRefused, WrongState
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.storage.conditional import is_conditional
from keystead.storage.key_value_store import MISSING, Change, Check, KeyValueStore, StoredValue
from keystead.storage.parts import grouped, in_parts
from keystead.storage.paths import list_paths

Seal = Callable[[Secret, str, bytes], bytes]

PageOf = Callable[[str], int]
"""Returns the number of the page in which the version of the record at this path is. A commit
writes each page once, and with a million records a page has 61 KiB."""

REMOVED_AT_ONCE = 500
"""Records removed in one commit."""
_GROUPED_AT_ONCE = 5000
"""Records that are grouped by page before they are removed."""

FIRST_ID = "0"
"""The smallest first character of an ID. Names that begin with a dot sort before it."""
AFTER_LAST_ID = "{"
"""The character after the largest first character of an ID."""


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record's plaintext and revision."""

    plaintext: bytes = field(repr=False)
    revision: int


async def remove_range(
    store: KeyValueStore,
    start: str,
    stop: str,
    *,
    checks: Sequence[Check] = (),
    page_of: PageOf = lambda _: 0,
) -> int:
    """Remove every record in [start, stop), in commits of bounded size. Return their number.

    If a full disk has no space for a commit, smaller commits are tried. Raises StaleRevision if one
    of the `checks`, which are part of every commit, does not hold, and
    WriteRefused if the store refuses even the removal of a single record.
    """

    async def remove(paths: Sequence[str]) -> None:
        _ = await store.commit([Change(path, None) for path in paths], checks=checks)

    removed, at_once = 0, REMOVED_AT_ONCE
    while paths := await _first_paths(store, start, stop):
        together = await grouped(paths, page_of)
        at_once = await in_parts(together, at_once, remove, is_halved=WriteRefused)
        removed += len(paths)
    return removed


async def _first_paths(store: KeyValueStore, start: str, stop: str) -> list[str]:
    """Return the first paths in [start, stop), as many as are grouped at a time."""
    paths: list[str] = []
    while len(paths) < _GROUPED_AT_ONCE:
        some = await store.list(start, stop, limit=REMOVED_AT_ONCE)
        paths += some
        if len(some) < REMOVED_AT_ONCE:
            break
        start = some[-1] + "\0"
    return paths


class SealedRecords:
    """The records under one root path, which share a key. Names are relative to the root."""

    def __init__(
        self, store: KeyValueStore, key: Secret, root: str, seal: Seal = envelope.seal
    ) -> None:
        """`root` begins and ends with a slash. `key` has 32 bytes. `seal` seals new records."""
        self._store = store
        self._key: Secret | None = key
        self._root = root
        self._seal = seal
        self._changing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def close(self) -> None:
        """Wipe the key. Later reads and writes raise WrongState."""
        if self._key is not None:
            self._key.wipe()
        self._key = None

    def path(self, name: str) -> str:
        """Return the full path of a record."""
        return self._root + name

    def changing(self, name: str) -> AbstractAsyncContextManager[None]:
        """Return the turn of a change that reads, edits and writes a record.

        Without turns, each of many changes at once would make all others stale. A change with a
        condition takes none: after another change it is to fail, not to find what that has left.
        """
        if is_conditional():
            return nullcontext()
        return self._changing.setdefault(name, asyncio.Lock())

    async def get(self, name: str) -> OpenedRecord | None:
        """Return a record, or None if there is none. Raises CorruptRecord if it does not open."""
        entry = await self._store.get(self.path(name))
        return None if entry is None else OpenedRecord(self.open(name, entry.value), entry.revision)

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return the plaintext of a record. Raises CorruptRecord if it does not open."""
        try:
            return envelope.unseal_any(self._require_key(), self.path(name), sealed)
        except DecryptionFailed:
            raise CorruptRecord(f"The record {self.path(name)} does not open.") from None

    async def scan(
        self, start: str, stop: str, *, limit_bytes: int
    ) -> list[tuple[str, StoredValue]]:
        """Return the names of the first records in [start, stop), limited as the store's scan.

        Each comes with its sealed value, which `open` opens.
        """
        first, end = self.path(start), self.path(stop)
        found = await self._store.scan(first, end, limit_bytes=limit_bytes)
        return [(record.path.removeprefix(self._root), record.entry) for record in found]

    async def revision(self, name: str) -> int:
        """Return a record's revision, or MISSING if there is none. The record is not opened."""
        entry = await self._store.get(self.path(name))
        return MISSING if entry is None else entry.revision

    def put(self, name: str, plaintext: bytes, *, expected: int | None = None) -> Change:
        """Return the change that seals `plaintext` at its path."""
        path = self.path(name)
        return Change(path, self._seal(self._require_key(), path, plaintext), expected)

    def has(self, path: str) -> bool:
        """Return whether a path is below this root."""
        return path.startswith(self._root)

    def for_backup(self, path: str, sealed: bytes) -> bytes:
        """Return a record in the form that a NetHSM reads, or unchanged if it does not open."""
        try:
            plaintext = self.open(path.removeprefix(self._root), sealed)
        except CorruptRecord:
            return sealed
        return envelope.seal(self._require_key(), path, plaintext)

    def delete(self, name: str, *, expected: int | None = None) -> Change:
        """Return the change that removes a record."""
        _ = self._require_key()
        return Change(self.path(name), None, expected)

    async def names(
        self, *, start: str = FIRST_ID, stop: str = AFTER_LAST_ID, below: str = ""
    ) -> list[str]:
        """Return the names in [start, stop), in byte order. The default range holds all IDs.

        Names are returned without the prefix `below`, which all of them must have.
        """
        first, end = self.path(start), self.path(stop)
        return await list_paths(self._store, first, end, below=self._root + below)

    def _require_key(self) -> Secret:
        if self._key is None:
            raise WrongState("The HSM was locked in the meantime.")
        return self._key
