"""Counts of uses of keys that are not stored yet."""

from collections import defaultdict

from keystead.model.ids import NamespaceId
from keystead.model.keys import KeyPath


class UseCounts:
    """The pending uses of each key since its record was written. A crash loses only these."""

    def __init__(self) -> None:
        # No Counter, whose items Python sets ten times as slowly.
        self._pending: defaultdict[KeyPath, int] = defaultdict(int)

    def count(self, path: KeyPath, uses: int = 1) -> None:
        """Count uses of a key."""
        self._pending[path] += uses

    def of(self, path: KeyPath) -> int:
        """Return the pending uses of a key."""
        return self._pending.get(path, 0)

    def paths(self) -> list[KeyPath]:
        """Return the keys with uses pending."""
        return list(self._pending)

    def stored(self, path: KeyPath, count: int) -> None:
        """Subtract the uses that were written to the record. More may be pending by now."""
        self._pending[path] -= count
        if self._pending[path] <= 0:
            del self._pending[path]
        if not self._pending:
            self._pending.clear()  # clear() releases memory, and deleting single keys does not.

    def move(self, source: KeyPath, target: KeyPath) -> None:
        """Move the pending uses with a key."""
        pending = self._pending.pop(source, 0)
        if pending:
            self._pending[target] += pending

    def forget(self, path: KeyPath) -> None:
        """Drop the count of a key that is gone."""
        self._pending.pop(path, None)

    def forget_namespace(self, namespace: NamespaceId) -> None:
        """Drop the counts of all keys of a namespace."""
        for path in [path for path in self._pending if path.namespace == namespace]:
            del self._pending[path]

    def clear(self) -> None:
        """Drop everything."""
        self._pending.clear()
