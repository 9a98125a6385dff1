"""What stores around another store have in common: they read as it does."""

from collections.abc import Sequence

from keystead.storage.key_value_store import KeyValueStore, Record, Snapshot, StoredValue


class WrappedStore:
    """The reads of a KeyValueStore, passed on to another."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None."""
        return await self._store.get(path)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order."""
        return await self._store.list(start, stop, limit=limit)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them."""
        return await self._store.scan(start, stop, limit_bytes=limit_bytes)

    async def snapshot(self) -> Snapshot:
        """Return the records as they are now."""
        return await self._store.snapshot()
