"""A store that reports the outcome of its commits."""

from collections.abc import Callable, Sequence

from keystead.errors import WriteRefused
from keystead.storage.key_value_store import Change, Check, Entry, KeyValueStore, Record


class CountedStore:
    """A KeyValueStore that reports the commits of another.

    `on_written` gets the number of changes of each commit, and `on_refused` the reason of a
    refusal.
    """

    def __init__(
        self,
        store: KeyValueStore,
        on_written: Callable[[int], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._store = store
        self._on_written = on_written
        self._on_refused = on_refused

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
        """Apply all `changes` or none. Raises StaleRevision if an expectation or check fails."""
        try:
            revision = await self._store.commit(changes, checks=checks)
        except WriteRefused as error:
            self._on_refused(error.message)
            raise
        self._on_written(len(changes))
        return revision
