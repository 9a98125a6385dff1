"""Tells an older store from the present one, by the end of the journal.

The journal's end knows how far the records' root was, so records that were put back without the
journal are noticed. An older copy of the whole store fits together: its records, their root and its
journal. Only what is outside of it tells that it is not the last one. So the last checkpoint is
also kept in a second place, and the next unlock looks for it.
"""

import asyncio
from typing import Final

import msgspec

from keystead.errors import CorruptRecord, KeysteadError, StoreUnavailable
from keystead.journal.audit.entries import DONE, OPENED, RESTORE, JournalEntry
from keystead.model.secret import Secret
from keystead.operations.binding import Binding
from keystead.operations.journal_opening import present_keys
from keystead.operations.journal_writer import JournalWriter
from keystead.operations.known_count import KnownCount
from keystead.operations.session import CoreContext
from keystead.sealing.journal_keys import JournalKeys
from keystead.storage.journal_records import JournalRecords, StoredHead, first_of, sealed_end
from keystead.storage.key_value_store import Change, KeyValueStore
from keystead.storage.local import LocalStore
from keystead.storage.paths import KNOWN_HEAD
from keystead.storage.settings import RESTORED_VERSIONS

SETTLE_SECONDS: Final = 2.0
"""How long a lock or a stop waits for the second place."""
_CLOSING_ENTRIES: Final = 110_000
"""The most entries that may follow that of a restore: uses of keys until then."""


class _Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: str
    journal: str
    """The journal's public key (RFC 8032) in hexadecimal."""
    n: int
    chain: str


class _Entry(msgspec.Struct, frozen=True):
    action: str
    outcome: str = ""

    @property
    def is_restore(self) -> bool:
        """Whether it is a restore that has ended the session."""
        return (self.action, self.outcome) == (RESTORE, DONE)


class KnownHead:
    """What the journal's end tells of the store, and the second place of that end."""

    def __init__(
        self, context: CoreContext, store: KeyValueStore, local: LocalStore, binding: Binding
    ) -> None:
        """`store` is below all generations."""
        self._binding = binding
        self._count = KnownCount(context, store)
        self._is_kept = context.keeps_head
        self._store = store
        self._local = local
        self._clocks = context.wall_clock, context.monotonic
        self._log = context.log
        self._wanted: bytes | None = None
        self._writing: asyncio.Task[None] | None = None

    # --- at unlock --------------------------------------------------------------------------

    async def fault(self, domain_key: Secret) -> str:
        """Return why this is not the store that the second place knows, or "". Log it."""
        found = await self._fault_elsewhere(domain_key) if self._is_kept else ""
        if not found and self._count.is_kept:
            found = await self._count.fault(await self._stored_head(domain_key))
        if found:
            self._log.error("the store is older than the journal's head elsewhere", reason=found)
        return found

    async def _fault_elsewhere(self, domain_key: Secret) -> str:
        try:
            entry = await self._store.get(KNOWN_HEAD)
        except StoreUnavailable as error:
            return f"The second place cannot be read: {error.message}"
        if entry is None:
            self._log.warning("no head of the journal is kept elsewhere yet")
            return ""
        try:
            known = msgspec.json.decode(entry.value, type=_Known)
        except msgspec.MsgspecError:
            return "What the second place has is no head of a journal."
        if known.device == self._local.device_id:
            return await self._fault_of(known, domain_key)
        self._log.warning("the head of the journal that is kept elsewhere is of another device")
        return ""

    async def fault_of_records(self, domain_key: Secret, position: tuple[int, int]) -> str:
        """Return why a root at this position is not the one that the journal knows, or ""."""
        head = await self._stored_head(domain_key)
        # Each number is greater than all before it, also than those of earlier generations.
        if head is None or (position >= head.root and position[1] >= head.root[1]):
            return ""
        present, known = _text(position), _text(head.root)
        self._log.error("the records are older than the journal", root=present, journal=known)
        return f"Its records are at {present}, and the journal at {known}."

    async def fault_of_restore(self, domain_key: Secret) -> str:
        """Return why no restore has made the root that waits to be taken over, or "". Log it.

        Whoever has the device key can make such a root of older records. The journal has no entry
        of a restore then, and only the domain key opens it.
        """
        if await self._local.settings.get(RESTORED_VERSIONS) is None:
            return ""
        keys = await present_keys(self._store, self._local.settings, domain_key)
        if keys is None:
            return ""  # A restore onto an empty HSM: its journal begins after it.
        try:
            if await self._ends_with_restore(JournalRecords(self._store, keys)):
                return ""
        except CorruptRecord:
            pass  # It proves nothing.
        finally:
            keys.wipe()
        self._log.error("the journal knows of no restore that has made these records")
        return "Its records seem to be restored, and the journal knows of no restore."

    async def sealed_end(self) -> bytes:
        """Return the record of the journal's end as it is stored, or nothing without one."""
        return await sealed_end(self._store)

    async def _ends_with_restore(self, records: JournalRecords) -> bool:
        """Whether the journal was closed by a restore, or cut off in the middle of one."""
        if any(_is_restore(content) for _, content in await records.opened()):
            return True
        head, _ = await records.head()
        if head is None:
            return False
        last, is_found = 0, False
        start = await records.path_of(max(1, head.n - _CLOSING_ENTRIES)) or ""
        async for block in records.blocks(start):
            if last and block.first != last + 1:
                return False
            last = block.last
            for line in block.lines:
                entry = msgspec.json.decode(line, type=_Entry)
                is_found = entry.is_restore or (is_found and entry.action != OPENED)
        return is_found and last >= head.n

    async def _stored_head(self, domain_key: Secret) -> StoredHead | None:
        """Return the journal's end, or None if there is none that opens."""
        keys = await present_keys(self._store, self._local.settings, domain_key)
        if keys is None:
            return None
        try:
            head, _ = await JournalRecords(self._store, keys).head()
        except CorruptRecord:
            return None  # The journal says so when it is opened.
        finally:
            keys.wipe()
        return head

    async def _fault_of(self, known: _Known, domain_key: Secret) -> str:
        keys = await present_keys(self._store, self._local.settings, domain_key)
        if keys is None:
            return "It has no journal."
        try:
            if keys.public_raw.hex() != known.journal:
                return "Its journal is another one."
            return await self._fault_in(self._reader(keys), known)
        except CorruptRecord as error:
            return error.message
        finally:
            keys.wipe()

    def _reader(self, keys: JournalKeys) -> JournalWriter:
        now, monotonic = self._clocks
        return JournalWriter(self._store, keys, now=now, monotonic=monotonic, log=self._log)

    async def _fault_in(self, journal: JournalWriter, known: _Known) -> str:
        await journal.load()
        # Not entries that follow it: they may have been added to an older store.
        head, _ = await journal.records.head()
        last = 0 if head is None else head.n
        if last < known.n:
            return f"Its journal ends at entry {last}, and entry {known.n} is known."
        oldest = await journal.records.oldest(limit=1)
        if oldest and first_of(oldest[0]) > known.n:
            return ""  # It was deleted since, as the chain of the later entries shows.
        line = await journal.line(known.n)
        if line.endswith(b'"chain":"%b"}\n' % known.chain.encode()):
            return ""
        return f"Its entry {known.n} is another one."

    # --- from then on -----------------------------------------------------------------------

    async def load(self) -> None:
        """Read what is to be known of the second place before the journal is written."""
        await self._count.load()

    def prepare(self, journal: JournalWriter, *, closes: bool) -> None:
        """Have the next write to a journal say how far the records and the counter are."""
        position = self._binding.position
        if position is not None:
            journal.root = position
        self._count.prepare(journal, closes=closes)

    def keep(self, journal: JournalWriter) -> None:
        """Have the second place keep the end of a journal, soon. Nothing waits for it."""
        if not self._is_kept and not self._count.is_kept:
            return
        self._count.wants(journal.count)
        if self._is_kept:
            known = _Known(
                self._local.device_id,
                journal.keys.public_raw.hex(),
                journal.last,
                journal.digest.hex(),
            )
            self._wanted = msgspec.json.encode(known) + b"\n"
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def settle(self) -> None:
        """Wait until the second place is written, at most SETTLE_SECONDS."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=SETTLE_SECONDS)

    async def _write(self) -> None:
        while self._wanted is not None:
            content, self._wanted = self._wanted, None
            try:
                _ = await self._store.commit([Change(KNOWN_HEAD, content)])
            except KeysteadError as error:
                self._log.warning(
                    "the journal's head cannot be kept elsewhere", reason=error.message
                )
        await self._count.follow()


def _is_restore(record: bytes | None) -> bool:
    """Whether the record of an action that is not chained yet is that of a restore."""
    if record is None:
        return False
    return msgspec.msgpack.decode(record, type=JournalEntry).action == RESTORE


def _text(position: tuple[int, int]) -> str:
    generation, number = position
    return f"{generation}.{number}"
