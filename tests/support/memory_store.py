"""A store in memory, for tests."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from keystead.errors import StaleRevision
from keystead.storage.key_value_store import MISSING, Change, Check, Record, StoredValue


class MemoryStore:
    """A KeyValueStore in a dictionary.

    Paths are kept sorted as strings: the order of code points is the order of UTF-8 bytes.
    """

    def __init__(self) -> None:
        self._entries: dict[str, StoredValue] = {}
        self._paths: list[str] = []
        self._revision = MISSING

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
        found: list[Record] = []
        size = 0
        for index in range(bisect_left(self._paths, start), bisect_left(self._paths, stop)):
            path = self._paths[index]
            entry = self._entries[path]
            size += len(path.encode()) + len(entry.value)
            if found and size > limit_bytes:
                break
            found.append(Record(path, entry))
        return found

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
