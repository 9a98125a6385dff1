"""How far the journal was, as a counter knows that only grows.

The journal's end says which value the counter has, or gets next. Each unlock and each lock raises
it, and so does each hour with entries. An older store has a smaller number than the counter.
"""

from typing import Final

from keystead.errors import KeysteadError, StoreUnavailable
from keystead.operations.journal_writer import JournalWriter
from keystead.operations.session import CoreContext
from keystead.storage.journal_records import StoredHead
from keystead.storage.key_value_store import Change, KeyValueStore
from keystead.storage.paths import KNOWN_COUNT

RAISED_SECONDS: Final = 3600.0
"""The shortest time between two values while the journal is open: a TPM bears some 100,000 writes.
Lock and unlock do not wait for it."""


class KnownCount:
    """Follows the counter, if there is one."""

    def __init__(self, context: CoreContext, store: KeyValueStore) -> None:
        self.is_kept: Final = context.keeps_count
        self._store = store
        self._monotonic = context.monotonic
        self._log = context.log
        self._value: int | None = None
        """The counter's, or None as long as it is not known."""
        self._wanted = 0
        self._due_at = 0.0

    async def fault(self, head: StoredHead | None) -> str:
        """Return why this is not the journal's end that the counter knows, or ""."""
        self._value = None
        try:
            value = await self._read()
        except StoreUnavailable as error:
            return f"The counter cannot be read: {error.message}"
        count = 0 if head is None else head.count
        # The journal is written before the counter is raised.
        if count in {value, value + 1}:
            return ""
        return f"Its journal was written when the counter was {count}, and the counter is {value}."

    async def load(self) -> None:
        """Read the counter, unless it is known."""
        if not self.is_kept or self._value is not None:
            return
        try:
            _ = await self._read()
        except StoreUnavailable as error:
            self._log.warning("the counter cannot be read", reason=error.message)

    def prepare(self, journal: JournalWriter, *, closes: bool) -> None:
        """Have the next write to a journal name the value that the counter has, or gets then."""
        value = self._value
        if value is None:
            return
        is_due = closes or self._monotonic() >= self._due_at
        if is_due or journal.count not in {value, value + 1}:
            journal.count = value + 1

    def wants(self, count: int) -> None:
        """Have the next `follow` raise the counter to what the journal says."""
        self._wanted = count

    async def follow(self) -> None:
        """Raise the counter to the value that the journal names already."""
        if self._value is None or self._wanted <= self._value:
            return
        try:
            _ = await self._store.commit([Change(KNOWN_COUNT, b"")])
            _ = await self._read()
        except KeysteadError as error:
            self._log.warning("the counter cannot be raised", reason=error.message)
        else:
            self._due_at = self._monotonic() + RAISED_SECONDS

    async def _read(self) -> int:
        entry = await self._store.get(KNOWN_COUNT)
        if entry is None:
            raise StoreUnavailable("There is no counter.")
        self._value = int(entry.value)
        return self._value
