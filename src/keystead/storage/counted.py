"""A store that tells how much was written to it."""

from collections.abc import Callable, Sequence

from keystead.storage.key_value_store import Change, Check, Entry, KeyValueStore, Record


class CountedStore:
    """A KeyValueStore over another; `on_written` gets the number of changes of each commit."""

    def __init__(self, store: KeyValueStore, on_written: Callable[[int], None]) -> None:
        self._store = store
        self._on_written = on_written

    async def get(self, path: str) -> Entry | None:
        """Return the record at `path`, or None."""
        return await self._store.get(path)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order."""
        return await self._store.list(start, stop, limit=limit)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them."""
        return await self._store.scan(start, stop, limit_bytes=limit_bytes)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none; StaleRevision when an expectation or check fails."""
        revision = await self._store.commit(changes, checks=checks)
        self._on_written(len(changes))
        return revision
