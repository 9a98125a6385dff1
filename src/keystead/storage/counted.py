"""A store that reports the outcome of its commits."""

from collections.abc import Callable, Sequence

from keystead.errors import CommitTooLarge, WriteRefused
from keystead.storage.key_value_store import Change, Check, KeyValueStore
from keystead.storage.wrapped import WrappedStore


class CountedStore(WrappedStore):
    """A KeyValueStore that reports the commits of another.

    `on_written` gets the number of changes of each commit, and `on_refused` the reason of a
    refusal, unless smaller commits can be made.
    """

    def __init__(
        self,
        store: KeyValueStore,
        on_written: Callable[[int], None],
        on_refused: Callable[[str], None],
    ) -> None:
        super().__init__(store)
        self._on_written = on_written
        self._on_refused = on_refused

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. Raises StaleRevision if an expectation or check fails."""
        try:
            revision = await self._store.commit(changes, checks=checks)
        except CommitTooLarge:
            raise
        except WriteRefused as error:
            self._on_refused(error.message)
            raise
        self._on_written(len(changes))
        return revision
