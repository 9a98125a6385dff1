"""The records of the journal. They belong to no generation, and to no backup.

    /journal/keys           the journal's keys, sealed under the domain key
    /journal/head           the number and the hash of the last entry, and what is known of the rest
    /journal/block/<n>      the hash before entry n, and the lines of entry n and some after it
    /journal/open/<journal>/<name>
                            an action whose commit was made, and whose entry is not chained yet

In a cluster, each device has a journal of its own. Only the records of actions are in the shared
store, where the changes are, so <journal> is the beginning of the journal's public key in
hexadecimal. Earlier software wrote these records without it.

All but the keys are sealed under the journal's own key, so that they stay readable if a restore
replaces the domain key.
"""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from keystead.errors import CorruptRecord, DecryptionFailed
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.domain_key import StoreLabel, brief_store_key
from keystead.sealing.journal_keys import JournalKeys
from keystead.storage.key_value_store import Change, KeyValueStore
from keystead.storage.paths import ACTIONS, AFTER_ACTIONS, list_paths

KEYS: Final = "/journal/keys"
_HEAD: Final = "/journal/head"
_BLOCKS: Final = "/journal/block/"
_AFTER_BLOCKS: Final = "/journal/block0"
_NAME_BYTES: Final = 8
_DIGITS: Final = 16
_SCAN_BYTES: Final = 256 * 1024

MOST_ENTRIES: Final = 1000
"""The most entries in a block."""


class StoredHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last entry, as the last write to the journal knows it."""

    n: int
    digest: bytes
    signed: int = 0
    """The number of the last checkpoint."""
    size: int = 0
    """About how many bytes the blocks have."""
    is_closed: bool = False
    """Whether the journal was closed with this entry, and not cut off by a crash."""
    root: tuple[int, int] = (0, 0)
    """The position of the records' root at this write (`storage/versions`), or an older one."""
    count: int = 0
    """The value of the TPM's counter, or the next one. 0 if there was none."""


class Block(msgspec.Struct, frozen=True):
    """Consecutive entries of the journal, which are stored as one record."""

    first: int
    before: bytes
    """The hash of the entry before the first, or the origin."""
    lines: list[bytes]
    """The lines of the entries, with their newlines."""

    @property
    def last(self) -> int:
        """The number of the last entry."""
        return self.first + len(self.lines) - 1

    def encoded(self) -> bytes:
        """Return the content of the block's record."""
        return self.before + b"".join(self.lines)


_HASH_BYTES: Final = 32


def block_path(first: int) -> str:
    """Return the path of the block that begins with this entry."""
    return f"{_BLOCKS}{first:0{_DIGITS}}"


async def sealed_end(store: KeyValueStore) -> bytes:
    """Return the record of the journal's end as it is stored, or nothing without one."""
    entry = await store.get(_HEAD)
    return b"" if entry is None else entry.value


def first_of(path: str) -> int:
    """Return the number of the first entry of the block at `path`."""
    return int(path[-_DIGITS:])


async def stored_keys(store: KeyValueStore, domain_key: Secret) -> JournalKeys | None:
    """Return the journal's keys, or None if there are none.

    Raises DecryptionFailed if they are sealed under another domain key.
    """
    entry = await store.get(KEYS)
    if entry is None:
        return None
    with brief_store_key(domain_key, StoreLabel.JOURNAL) as key:
        return JournalKeys(Secret(envelope.unseal_any(key, KEYS, entry.value)))


def put_keys(keys: JournalKeys, domain_key: Secret) -> Change:
    """Return the change that seals the journal's keys under the domain key."""
    with brief_store_key(domain_key, StoreLabel.JOURNAL) as key:
        return Change(KEYS, envelope.seal_extended(key, KEYS, keys.stored.reveal()))


class JournalRecords:
    """The sealed records of one journal."""

    def __init__(self, store: KeyValueStore, keys: JournalKeys) -> None:
        self._store = store
        self._keys = keys
        self._name = keys.public_raw[:_NAME_BYTES].hex()

    def open_path(self, name: str) -> str:
        """Return the path of an action that is not chained yet."""
        return f"{ACTIONS}{self._name}/{name}"

    def put(self, path: str, content: bytes, *, expected: int | None = None) -> Change:
        """Return the change that seals a record."""
        return Change(path, self._keys.seal(path, content), expected)

    def put_head(self, head: StoredHead, *, expected: int) -> Change:
        """Return the change that replaces the head at the revision `expected`."""
        return self.put(_HEAD, msgspec.msgpack.encode(head), expected=expected)

    async def head(self) -> tuple[StoredHead | None, int]:
        """Return the head, or None if there is none, and the revision of its record.

        Raises CorruptRecord if it does not open or cannot be read.
        """
        entry = await self._store.get(_HEAD)
        if entry is None:
            return None, 0
        try:
            head = msgspec.msgpack.decode(self._opened(_HEAD, entry.value), type=StoredHead)
        except msgspec.MsgspecError:
            raise CorruptRecord(f"The record {_HEAD} cannot be read.") from None
        return head, entry.revision

    async def opened(self) -> list[tuple[str, bytes | None]]:
        """Return the paths of actions that are not chained, with their records.

        None stands for a record that does not open.
        """
        found: list[tuple[str, bytes | None]] = []
        for path in await list_paths(self._store, ACTIONS, AFTER_ACTIONS):
            journal, slash, _ = path.removeprefix(ACTIONS).partition("/")
            if slash and journal != self._name:
                continue  # That of another device of the cluster.
            entry = await self._store.get(path)
            try:
                content = None if entry is None else self._opened(path, entry.value)
            except CorruptRecord:
                content = None
            found.append((path, content))
        return found

    async def oldest(self, *, limit: int) -> list[str]:
        """Return the paths of the oldest blocks."""
        return await self._store.list(_BLOCKS, _AFTER_BLOCKS, limit=limit)

    async def size(self, path: str) -> int:
        """Return how many bytes a record has."""
        entry = await self._store.get(path)
        return 0 if entry is None else len(entry.value)

    async def size_of(self, first: str, last: str) -> int:
        """Return how many bytes the blocks from one path to another have, both included."""
        size, start = 0, first
        while found := await self._store.scan(start, f"{last}\0", limit_bytes=_SCAN_BYTES):
            size += sum(len(record.entry.value) for record in found)
            start = found[-1].path + "\0"
        return size

    async def path_of(self, number: int) -> str | None:
        """Return the path of the block with this entry, or of the next block, or None."""
        lowest = max(0, number - MOST_ENTRIES - 8)
        before = await self._store.list(block_path(lowest), block_path(number + 1), limit=2000)
        if before:
            return before[-1]
        after = await self._store.list(block_path(number), _AFTER_BLOCKS, limit=1)
        return after[0] if after else None

    async def blocks(self, start: str) -> AsyncIterator[Block]:
        """Yield the block at the path `start` and all after it.

        Raises CorruptRecord if one does not open.
        """
        while found := await self._store.scan(start, _AFTER_BLOCKS, limit_bytes=_SCAN_BYTES):
            for record in found:
                content = self._opened(record.path, record.entry.value)
                before, lines = content[:_HASH_BYTES], content[_HASH_BYTES:]
                yield Block(first_of(record.path), before, lines.splitlines(keepends=True))
            start = found[-1].path + "\0"

    def _opened(self, path: str, sealed: bytes) -> bytes:
        try:
            return self._keys.open(path, sealed)
        except DecryptionFailed:
            raise CorruptRecord(f"The record {path} does not open.") from None
