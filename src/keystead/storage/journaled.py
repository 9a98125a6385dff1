"""A store whose commits contain the journal's record of the action that they belong to.

So the record of a change is durable if, and only if, the change is.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final, Protocol

from keystead.errors import CommitTooLarge, StoreUnavailable, WriteRefused
from keystead.storage.key_value_store import Change, Check
from keystead.storage.wrapped import WrappedStore


class RecordedAction(Protocol):
    """A management action while its request runs."""

    is_written: bool
    """Whether its record is in the store, or may be."""
    is_needed: bool
    """Whether the action must not change anything without its record."""

    def record(self, changes: Sequence[Change]) -> Change | None:
        """Return the change that writes the record, or None if there is no journal to write to."""
        ...


_ACTION: Final = ContextVar[RecordedAction | None]("action", default=None)

record_for: Final = _ACTION.set
"""Makes every commit from here on contain the record of this action, or with None no record."""
current_action: Final = _ACTION.get
"""Returns the action whose record commits contain now, or None."""


class JournaledStore(WrappedStore):
    """A KeyValueStore that adds the records of actions to the commits of another."""

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. Raises as the other store does.

        If a full disk has no space for the record, and the action does not need it, the changes are
        made without the record.
        """
        action = _ACTION.get()
        record = None if action is None or not changes else action.record(changes)
        if action is None or record is None:
            return await self._store.commit(changes, checks=checks)
        try:
            revision = await self._store.commit([*changes, record], checks=checks)
        except StoreUnavailable:
            action.is_written = True
            raise
        except CommitTooLarge:
            raise
        except WriteRefused:
            if action.is_needed:
                raise
            return await self._store.commit(changes, checks=checks)
        action.is_written = True
        return revision
