"""A store in memory, for tests."""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence

from keystead.errors import SnapshotUnavailable, StaleRevision
from keystead.storage.key_value_store import MISSING, Change, Check, Record, Snapshot, StoredValue


class MemoryStore:
    """A KeyValueStore in a dictionary.

    Paths are kept sorted as strings: the order of code points is the order of UTF-8 bytes.
    """

    def __init__(self) -> None:
        self._entries: dict[str, StoredValue] = {}
        self._paths: list[str] = []
        self._revision = MISSING
        self.snapshots: set[_MemorySnapshot] = set()
        """Those that are not closed."""

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None."""
        return self._entries.get(path)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order."""
        first = bisect_left(self._paths, start)
        end = min(bisect_left(self._paths, stop), first + limit)
        return self._paths[first:end]

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them."""
        paths = self._paths[bisect_left(self._paths, start) : bisect_left(self._paths, stop)]
        return _first(paths, self._entries, limit_bytes)

    async def snapshot(self) -> Snapshot:
        """Return the records as they are now."""
        snapshot = _MemorySnapshot(dict(self._entries), self.snapshots)
        self.snapshots.add(snapshot)
        return snapshot

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. Raises StaleRevision if an expectation or check fails."""
        for check in checks:
            self._require(check.path, check.revision)
        for change in changes:
            if change.expected is not None:
                self._require(change.path, change.expected)
        self._revision += 1
        for change in changes:
            self._apply(change)
        return self._revision

    def _require(self, path: str, revision: int) -> None:
        entry = self._entries.get(path)
        if (MISSING if entry is None else entry.revision) != revision:
            raise StaleRevision("The record was changed by someone else.")

    def _apply(self, change: Change) -> None:
        if change.value is not None:
            if change.path not in self._entries:
                insort(self._paths, change.path)
            self._entries[change.path] = StoredValue(change.value, self._revision)
        elif self._entries.pop(change.path, None) is not None:
            del self._paths[bisect_left(self._paths, change.path)]


class _MemorySnapshot:
    """A copy of the dictionary."""

    def __init__(
        self, entries: Mapping[str, StoredValue], siblings: "set[_MemorySnapshot]"
    ) -> None:
        self._entries: Mapping[str, StoredValue] | None = entries
        self._siblings = siblings

    async def get(self, path: str) -> StoredValue | None:
        return self._kept().get(path)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        kept = self._kept()
        return _first(sorted(path for path in kept if start <= path < stop), kept, limit_bytes)

    async def close(self) -> None:
        self._entries = None
        self._siblings.discard(self)

    def _kept(self) -> Mapping[str, StoredValue]:
        if self._entries is None:
            raise SnapshotUnavailable("The snapshot is closed.")
        return self._entries


def _first(
    paths: Sequence[str], entries: Mapping[str, StoredValue], limit_bytes: int
) -> Sequence[Record]:
    found: list[Record] = []
    size = 0
    for path in paths:
        entry = entries[path]
        size += len(path.encode()) + len(entry.value)
        if found and size > limit_bytes:
            break
        found.append(Record(path, entry))
    return found
