"""What gets an entry in the journal: management actions and uses of keys."""

from collections.abc import Sequence
from typing import Protocol

from keystead.access.gate import Attempt
from keystead.journal.audit.entries import JournalEntry
from keystead.storage.key_value_store import Change


class RecordsActions(Protocol):
    """What an action needs of the audit."""

    def record_of(self, action: "Action", paths: str) -> Change | None:
        """Return the change that writes the record of an action, or None without a journal."""
        ...


class Action:
    """A management action while its request runs. See `storage.journaled.RecordedAction`."""

    def __init__(
        self, records: RecordsActions, entry: JournalEntry, *, is_needed: bool, is_use: bool
    ) -> None:
        """`is_use` is for rows of Operators: without a change, they count as uses only."""
        self._records = records
        self.entry = entry
        self.is_needed = is_needed
        self.is_use = is_use
        self.is_written = False
        self.is_over = False
        self.path = ""

    def record(self, changes: Sequence[Change]) -> Change | None:
        """Return the change that writes the record, which names the first changed paths."""
        if self.is_over:
            return None
        paths = " ".join(change.path for change in changes[:3])
        return self._records.record_of(self, paths)


def use_entry(attempt: Attempt) -> JournalEntry:
    """Return the entry of a use, without its time."""
    return JournalEntry(
        "",
        attempt.use.verb,
        str(attempt.caller.user_id),
        attempt.address,
        namespace=attempt.key.namespace or "",
        key=attempt.key.key_id,
        mode=attempt.mode,
    )
