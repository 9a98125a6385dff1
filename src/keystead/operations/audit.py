"""The journal of the HSM: what is recorded in it, when it is written, and who reads it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from typing import Final

import msgspec

from keystead.errors import KeysteadError, StoreUnavailable, WriteRefused, WrongState
from keystead.journal.audit.entries import DONE, OPENED, JournalEntry, rfc3339
from keystead.journal.log import REQUEST
from keystead.model.journal_settings import DEFAULT_JOURNAL, JournalSettings
from keystead.model.secret import Secret
from keystead.model.users import Caller
from keystead.operations.audit_actions import Action
from keystead.operations.audit_counts import AuditCounts
from keystead.operations.journal_opening import find_keys, present_keys
from keystead.operations.journal_writer import CUT, JournalWriter
from keystead.operations.known_head import KnownHead
from keystead.operations.session import CoreContext
from keystead.storage import settings as stored
from keystead.storage.conditional import require_allowed
from keystead.storage.journal_records import MOST_ENTRIES, JournalRecords
from keystead.storage.journaled import current_action
from keystead.storage.key_value_store import Change, KeyValueStore
from keystead.storage.settings import SettingStore

TICK_SECONDS: Final = 1.0
ENOUGH_WAITING: Final = 256
"""Actions that wait, durable with their changes, and from which on they are chained at once."""
MOST_WAITING: Final = 1000
"""Actions from which on the next one waits until they are chained."""
MOST_UNWRITTEN: Final = 100_000
"""Entries that wait in memory for a store that cannot write. Later entries are only counted."""
_UNCHANGED: Final = 304
_BAD: Final = 400
"""The lowest status of a response that says that nothing was done."""
RECORDED_BY_DISPATCH: Final = frozenset({401, 403, 412, 429})
"""The statuses that dispatch records by itself, whatever the row."""
FULL: Final = "The journal is full. An Auditor can export its entries, and then delete them."


class Audit:
    """Collects entries in memory, and has the writer make them durable."""

    def __init__(
        self,
        context: CoreContext,
        store: KeyValueStore,
        local: SettingStore,
        now: Callable[[], float],
        known_head: KnownHead,
    ) -> None:
        """`store` is below all generations; `local` has the settings of this device."""
        self._known_head = known_head
        self._store = store
        self._local = local
        self._log = context.log
        self._now = now
        self._monotonic = context.monotonic
        self._settings = DEFAULT_JOURNAL
        self._writer: JournalWriter | None = None
        self._run = os.urandom(8).hex()
        self._waiting: list[tuple[JournalEntry, str]] = []
        """Entries to be chained, with the paths of their records, or ""."""
        self.session_end = asyncio.Lock()
        """Held while a session ends, which closes the journal, and while an unlock opens both."""
        self._writing = asyncio.Lock()
        self._chaining: asyncio.Task[None] | None = None
        """The last write that nobody waits for. This reference keeps it alive."""
        self._doubted = 0
        self._fault = ""
        """Why the store refused the last entries; empty if it took them."""
        self.counts = AuditCounts(
            DEFAULT_JOURNAL,
            now=now,
            monotonic=context.monotonic,
            require_room=self.require_room,
        )
        """Uses of keys and refusals, before they are entries."""

    # --- settings ---------------------------------------------------------------------------

    @property
    def settings(self) -> JournalSettings:
        """The settings in force."""
        return self._settings

    async def load_settings(self) -> None:
        """Read the settings of this device."""
        self._apply(await self._local.get(stored.JOURNAL) or DEFAULT_JOURNAL)

    def settings_changed(self, wanted: JournalSettings) -> None:
        """Follow new settings. Uses until now are recorded as the old ones say."""
        self._gather(everything=True)
        self._apply(wanted)

    def _apply(self, wanted: JournalSettings) -> None:
        self._settings = wanted
        self.counts.follow(wanted)

    def require_room(self) -> None:
        """Raise WriteRefused if the journal is full and refuses changes and uses of keys."""
        if self._settings.when_full == "overwrite" or self._writer is None:
            return
        if self._writer.size >= self._settings.max_bytes:
            raise WriteRefused(FULL)
        if self._fault:
            raise WriteRefused(f"The journal cannot be written. {self._fault}")

    # --- management actions -----------------------------------------------------------------

    def record_of(self, action: Action, paths: str) -> Change | None:
        """Return the change that writes the record of an action."""
        writer = self._writer
        if writer is None:
            return None
        if not action.path:
            action.path = writer.records.open_path(f"{self._run}-{REQUEST.get()}")
        entry = msgspec.structs.replace(action.entry, outcome=f"interrupted: {paths}")
        return writer.records.put(action.path, msgspec.msgpack.encode(entry))

    async def finish(self, action: Action, status: int) -> None:
        """Record the outcome of an action.

        Returns when the entry is durable, or the record that was written with the change.
        """
        if action.is_over:
            return
        action.is_over = True
        entry = action.entry
        if not action.is_written and status >= _BAD:
            if status not in RECORDED_BY_DISPATCH:
                self.counts.refused(entry.who, entry.action, entry.address, status)
            return
        if not action.is_written and (action.is_use or status == _UNCHANGED):
            return
        entry.outcome = str(status)
        self._add(entry, action.path if action.is_written else "")
        if not action.is_written or len(self._waiting) >= MOST_WAITING:
            await self.try_write()
        elif len(self._waiting) >= ENOUGH_WAITING and (not self._chaining or self._chaining.done()):
            self._chaining = asyncio.create_task(self.try_write())

    def _add(self, entry: JournalEntry, path: str = "") -> None:
        if len(self._waiting) >= MOST_UNWRITTEN:
            self.counts.lost += entry.count or 1
        else:
            self._waiting.append((entry, path))

    # --- from unlock to lock ----------------------------------------------------------------

    async def open(self, domain_key: Secret) -> None:
        """Open the journal, or begin one. Raises StoreUnavailable if the store cannot be read."""
        if self._writer is not None:
            return
        found = await find_keys(self._store, self._local, domain_key)
        writer = JournalWriter(
            self._store, found.keys, now=self._now, monotonic=self._monotonic, log=self._log
        )
        writer.first_changes = found.changes
        fault = await writer.load() or found.fault
        known = {path for _, path in self._waiting}
        interrupted = [
            (self._interrupted(content), path)
            for path, content in await writer.records.opened()
            if path not in known
        ]
        event = JournalEntry(self._time(), OPENED, outcome=fault)
        self._waiting = [(event, ""), *interrupted, *self._waiting]
        if fault:
            self._log.warning("the journal was not closed", reason=fault)
        self._writer = writer
        await self._known_head.load()
        await self.try_write()

    def _interrupted(self, content: bytes | None) -> JournalEntry:
        if content is None:
            return JournalEntry(self._time(), "interrupted", outcome="its record does not open")
        return msgspec.msgpack.decode(content, type=JournalEntry)

    async def rollback_acknowledged(self, fault: str, domain_key: Secret) -> None:
        """Record that someone unlocks a store that is older than it should be.

        The record is durable before this returns, so that no crash after it hides the fault. Raises
        what the store raises.
        """
        entry = JournalEntry(self._time(), "rollback acknowledged", outcome=fault)
        keys = await present_keys(self._store, self._local, domain_key)
        if keys is None:
            self._add(entry)  # Among the first of the journal that begins now.
            return
        records = JournalRecords(self._store, keys)
        path = records.open_path(f"{self._run}-{REQUEST.get()}-rollback")
        try:
            _ = await self._store.commit([records.put(path, msgspec.msgpack.encode(entry))])
        finally:
            keys.wipe()
        self._add(entry, path)

    def park(self) -> list[Change]:
        """Return the change that keeps the journal's keys until the next unlock.

        It is for a restore that replaces the domain key. Until then, the device key opens them.
        """
        if self._writer is None:
            return []
        return [self._local.put(stored.RESTORED_JOURNAL, self._writer.keys.stored)]

    async def close(self) -> None:
        """Record the present action, which ends the session, as done. Then `shut` the journal."""
        action = current_action()
        if isinstance(action, Action) and not action.is_over:
            # It is what ends the session, so it has succeeded, and there is no later moment.
            action.is_over = True
            action.entry.outcome = action.entry.outcome or DONE
            self._add(action.entry, action.path if action.is_written else "")
        await self.shut()

    async def closed(self) -> None:
        """Wait until no session is about to end: a lock may wait for requests."""
        async with self.session_end:
            pass

    async def shut(self) -> None:
        """Write everything with a last checkpoint, and forget the keys."""
        self._gather(everything=True)
        await self.try_write(closes=True)
        await self._known_head.settle()

    # --- writing ----------------------------------------------------------------------------

    async def run_forever(self, store_lost: Callable[[], None]) -> None:
        """Write what waits, every second. Run as a background task.

        A store that refuses entries, as on a full disk, is asked again. The log says why, once.
        """
        reason = ""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
                reason = ""
            except StoreUnavailable:
                store_lost()
            except KeysteadError as error:
                if error.message != reason:
                    reason = error.message
                    self._log.warning("the journal cannot be written", reason=reason)

    async def tick(self) -> None:
        """Write what waits, and sign what has waited. Raises what `JournalWriter.append` does."""
        self._gather(everything=False)
        writer = self._writer
        if writer is not None and (self._waiting or writer.must_sign or self._fault):
            await self._write_all(signs=writer.must_sign or bool(self._fault))

    async def try_write(self, *, closes: bool = False) -> None:
        """Write what waits. If the store fails, the entries wait on, and the log has the reason.

        With `closes`, there is no writer after that.
        """
        try:
            await self._write_all(signs=closes, closes=closes)
        except KeysteadError as error:
            self._log.warning("the journal cannot be written", reason=error.message)

    async def _write_all(self, *, signs: bool, closes: bool = False) -> None:
        """Write what waits, to the end also if the caller is cancelled, as a reader that leaves is.

        The store makes a commit whose caller is gone. A journal that does not know of it would take
        the next one for that of another process, and write no more.
        """
        await asyncio.shield(asyncio.create_task(self._write(signs=signs, closes=closes)))

    async def _write(self, *, signs: bool, closes: bool) -> None:
        async with self._writing:
            writer = self._writer
            if writer is None:
                return
            try:
                await self._write_with(writer, signs=signs, closes=closes)
            finally:
                if closes:  # Before anything else is written.
                    self._writer = None
                    writer.keys.wipe()

    async def _write_with(self, writer: JournalWriter, *, signs: bool, closes: bool) -> None:
        await self._settle(writer)
        while batch := self._waiting[:MOST_ENTRIES]:
            is_last = len(batch) == len(self._waiting)
            await self._append(writer, batch, signs=signs and is_last, closes=closes and is_last)
            signs = signs and not is_last
        is_open = closes and not writer.is_closed
        if is_open or (signs and writer.signed < writer.last):
            await self._append(writer, [], signs=True, closes=closes)

    async def _settle(self, writer: JournalWriter) -> None:
        if await writer.settle():
            del self._waiting[: self._doubted]
        self._doubted = 0

    async def _append(
        self,
        writer: JournalWriter,
        batch: list[tuple[JournalEntry, str]],
        *,
        signs: bool,
        closes: bool,
    ) -> None:
        self._doubted = len(batch)
        self._known_head.prepare(writer, closes=closes)
        try:
            await writer.append(
                [entry for entry, _ in batch],
                self._settings,
                done=[path for _, path in batch if path],
                signs=signs,
                closes=closes,
            )
        except WriteRefused as error:
            self._fault = error.message
            raise
        self._fault = ""
        del self._waiting[: len(batch)]
        if writer.signed == writer.last:
            self._known_head.keep(writer)

    def _gather(self, *, everything: bool) -> None:
        """Make entries of what was counted, if ten seconds are over or `everything` is wanted."""
        for entry in self.counts.take(everything=everything):
            self._add(entry)

    def _time(self) -> str:
        return rfc3339(self._now())

    # --- readers ----------------------------------------------------------------------------

    def _open_writer(self) -> JournalWriter:
        if self._writer is None:
            raise WrongState("The journal is not open.")
        return self._writer

    async def public_pem(self) -> bytes:
        """Return the public key that verifies checkpoints."""
        return self._open_writer().keys.public_pem

    async def head(self) -> bytes:
        """Return the line of a checkpoint that covers everything until now.

        Without room for one, it is the last checkpoint. Raises WriteRefused if there is none.
        """
        writer = self._open_writer()
        self._gather(everything=True)
        await self.try_write_signed()
        if not writer.signed:
            raise WriteRefused(f"The journal has no checkpoint yet. {self._fault}")
        return await writer.line(writer.signed)

    async def try_write_signed(self) -> None:
        """Write what waits, and a checkpoint unless the last entry is one."""
        try:
            await self._write_all(signs=True)
        except WriteRefused as error:
            self._log.warning("the journal cannot be written", reason=error.message)

    async def export(self, start: int, limit: int | None) -> AsyncGenerator[bytes, None]:
        """Return the entries from number `start` on, in parts of whole lines.

        They end with a checkpoint. What is written after it belongs to a later export.
        """
        writer = self._open_writer()
        written = writer.last
        self._gather(everything=True)
        await self.try_write_signed()
        # Without room for a checkpoint, the entries before this call are shown nevertheless.
        return writer.lines(start, max(written, writer.signed), limit)

    async def remove(self, who: Caller, address: str, upto: int) -> None:
        """Remove entries, after an entry that says so.

        Raises InvalidInput if no checkpoint covers the entry `upto`, and WrongState, with no more
        removed, if the journal is closed meanwhile.
        """
        writer = self._open_writer()
        await self.try_write_signed()
        writer.require_removable(upto)
        require_allowed()
        self._add(JournalEntry(self._time(), CUT, str(who.user_id), address, upto=upto))
        await self._write_all(signs=True)
        is_more = True
        while is_more:
            # A lock and others that write wait for a part only: there may be a million blocks.
            async with self._writing:
                if writer is not self._writer:
                    raise WrongState("The journal was closed in the meantime.")
                is_more = await writer.remove_some(upto)
