"""The journal in the store: entries are chained, signed and written; old ones are removed."""

from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from keystead.errors import (
    CorruptRecord,
    InvalidInput,
    StaleRevision,
    StoreUnavailable,
    WriteRefused,
    WrongState,
)
from keystead.journal.audit.entries import Chain, JournalEntry, follows, origin, rfc3339
from keystead.journal.log import Log
from keystead.model.journal_settings import JournalSettings
from keystead.sealing.journal_keys import JournalKeys
from keystead.storage.journal_records import Block, JournalRecords, StoredHead, block_path, first_of
from keystead.storage.key_value_store import MISSING, Change, KeyValueStore
from keystead.storage.paths import is_of_journal

SIGNED_ENTRIES: Final = 1000
"""The most entries after which a checkpoint is signed."""
SIGNED_SECONDS: Final = 60.0
"""The longest time after which entries are signed."""
_BLOCK_BYTES: Final = 1024
"""More than what a block has besides its entries: a cut, a checkpoint, a hash and the seal."""
_MOST_CUT: Final = 256
"""The most blocks that one commit removes."""
CUT: Final = "cut"
"""The action of entries that say which entries were removed."""


class _Cut(msgspec.Struct, frozen=True):
    """The oldest blocks, which are to be removed."""

    paths: list[str]
    upto: int
    size: int


class _Written(msgspec.Struct, frozen=True):
    """The journal after a commit whose outcome may not be known yet."""

    chain: Chain
    head: StoredHead
    removed: int = 0
    """The last entry that the commit removes."""


class JournalWriter:
    """One journal, from unlock to lock. Calls must not overlap, except those that only read."""

    def __init__(
        self,
        store: KeyValueStore,
        keys: JournalKeys,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        log: Log,
    ) -> None:
        """`store` is below all generations. Call `load` before everything else."""
        self.keys: Final = keys
        self.records: Final = JournalRecords(store, keys)
        self._store = store
        self._now = now
        self._monotonic = monotonic
        self._log = log
        self._chain = Chain(0, origin(keys.public_raw))
        self._head = StoredHead(0, self._chain.digest)
        self._revision = MISSING
        self._signed_at = monotonic()
        self._doubted: _Written | None = None
        self._removed = 0
        """The last entry that was removed since unlock."""
        self.first_changes: list[Change] = []
        """Changes that the next write makes too."""
        self.root = self._head.root
        """The position of the records' root, for the next write."""
        self.count = self._head.count
        """The value of the TPM's counter, for the next write."""

    # --- the end of the chain ---------------------------------------------------------------

    async def load(self) -> str:
        """Find the end of the chain. Return what is wrong with the stored journal, or ""."""
        try:
            head, self._revision = await self.records.head()
        except CorruptRecord as error:
            return error.message
        if head is not None:
            self._head, self._chain = head, Chain(head.n, head.digest)
            self.root, self.count = head.root, head.count
        return await self._follow() or self._ending()

    def _ending(self) -> str:
        if self._head.n == 0 or self._head.is_closed:
            return ""
        return "not closed before: entries of the last seconds may be missing"

    async def _follow(self) -> str:
        """Check the last block, and follow blocks that are newer than the head."""
        number = self._head.n
        path = await self.records.path_of(number) if number else block_path(1)
        last = 0
        try:
            async for block in self.records.blocks(path or block_path(number)):
                last = block.last
                if last > number and not self._adopt(block):
                    return f"entry {block.first} does not follow entry {number}"
        except CorruptRecord as error:
            return error.message
        if last < number:
            return f"the store is older than entry {number}, or lacks it"
        return "" if last == number else f"the head was older than entry {last}"

    def _adopt(self, block: Block) -> bool:
        if block.before != self._chain.digest:
            return False
        return all(follows(self._chain, line) for line in block.lines)

    @property
    def last(self) -> int:
        """The number of the last entry."""
        return self._chain.number

    @property
    def digest(self) -> bytes:
        """The hash of the last entry."""
        return self._chain.digest

    @property
    def signed(self) -> int:
        """The number of the last checkpoint."""
        return self._head.signed

    @property
    def is_closed(self) -> bool:
        """Whether the last write has closed the journal."""
        return self._head.is_closed

    @property
    def size(self) -> int:
        """About how many bytes the journal has."""
        return self._head.size

    @property
    def must_sign(self) -> bool:
        """Whether there are entries that have waited long enough for a checkpoint."""
        unsigned = self.last - self.signed
        late = self._monotonic() - self._signed_at >= SIGNED_SECONDS
        return unsigned >= SIGNED_ENTRIES or (unsigned > 0 and late)

    # --- writing ----------------------------------------------------------------------------

    async def settle(self) -> bool:
        """Whether the last write, whose outcome was unknown, was made. Call before `append`."""
        doubted, self._doubted = self._doubted, None
        if doubted is None:
            return False
        head, revision = await self.records.head()
        if head is None or head.digest != doubted.head.digest:
            return False
        self._take(doubted, revision)
        return True

    async def append(
        self,
        entries: Sequence[JournalEntry],
        settings: JournalSettings,
        *,
        done: Sequence[str] = (),
        signs: bool = False,
        closes: bool = False,
    ) -> None:
        """Make entries durable. The records at the paths `done` are deleted with that.

        Raises WriteRefused if the store cannot write, StaleRevision if another process writes the
        journal, and StoreUnavailable if the outcome is unknown.
        """
        overwrites = settings.when_full == "overwrite"
        more = [Change(path, None) for path in done]
        cut = None
        if overwrites and self.size >= settings.max_bytes:
            cut = await self._oldest(self.size - settings.max_bytes + settings.max_bytes // 10)
        try:
            await self._write(entries, more, cut, signs=signs, closes=closes)
        except WriteRefused:
            cut = await self._oldest(self._size_of(entries)) if overwrites else None
            if cut is None:
                raise
            await self._write(entries, more, cut, signs=signs, closes=closes)

    def _size_of(self, entries: Sequence[JournalEntry]) -> int:
        """Return at least how many bytes a block of these entries takes."""
        chain = self._chain.copy()
        return _BLOCK_BYTES + sum(len(chain.line(entry)) for entry in entries)

    async def _write(
        self,
        entries: Sequence[JournalEntry],
        more: list[Change],
        cut: _Cut | None,
        *,
        signs: bool,
        closes: bool,
    ) -> None:
        chain = self._chain.copy()
        before = chain.digest
        lines = [chain.line(entry) for entry in entries]
        if cut is not None:
            more = [*more, *(Change(path, None) for path in cut.paths)]
            lines.append(
                chain.line(JournalEntry(self._time(), CUT, upto=cut.upto, outcome="overwritten"))
            )
        if signs or cut is not None or self._is_due(chain):
            lines.append(chain.checkpoint(self._time(), self.keys.sign))
        block = Block(self.last + 1, before, lines)
        written = self._after(chain, block, cut, closes=closes, entries=len(entries))
        changes = [
            self.records.put(block_path(block.first), block.encoded(), expected=MISSING),
            self.records.put_head(written.head, expected=self._revision),
            *more,
            *self.first_changes,
        ]
        try:
            revision = await self._commit(changes, written.head)
        except StoreUnavailable:
            self._doubted = written
            raise
        self._take(written, revision)

    def _is_due(self, chain: Chain) -> bool:
        return self.must_sign or chain.number - self.signed >= SIGNED_ENTRIES

    def _after(
        self, chain: Chain, block: Block, cut: _Cut | None, *, closes: bool, entries: int
    ) -> _Written:
        is_signed = len(block.lines) > entries  # A checkpoint is always the last line.
        size = self.size + len(block.encoded()) - (0 if cut is None else cut.size)
        signed = chain.number if is_signed else self.signed
        head = StoredHead(
            chain.number, chain.digest, signed, max(0, size), closes, self.root, self.count
        )
        return _Written(chain, head, 0 if cut is None else cut.upto)

    def _take(self, written: _Written, revision: int) -> None:
        if written.head.signed != self.signed:
            self._signed_at = self._monotonic()
            self._log.always(
                "journal checkpoint", entry=written.head.n, chain=written.chain.digest.hex()
            )
        self._removed = max(self._removed, written.removed)
        self._chain, self._head, self._revision = written.chain, written.head, revision
        self.first_changes = []

    def _time(self) -> str:
        return rfc3339(self._now())

    async def _oldest(self, needed: int) -> _Cut | None:
        """Return the oldest blocks, about `needed` bytes of them and never the last block."""
        paths = await self.records.oldest(limit=_MOST_CUT + 1)
        size = 0
        for index, path in enumerate(paths[:-1]):
            size += await self.records.size(path)
            if size >= needed or index == len(paths) - 2:
                return _Cut(paths[: index + 1], first_of(paths[index + 1]) - 1, size)
        return None

    # --- reading ----------------------------------------------------------------------------

    async def lines(self, start: int, last: int, limit: int | None) -> AsyncGenerator[bytes, None]:
        """Yield the entries from `start` to `last`, at most `limit`, in parts of whole lines.

        Entries that were removed do not count. If the first of them is not entry 1, a line with
        the hash of the entry before it comes first. Raises CorruptRecord, and WrongState if entries
        are removed meanwhile.
        """
        stop = last + 1
        path = await self.records.path_of(start)
        following = 0
        async for block in self.records.blocks(path or block_path(start)):
            if not following and limit is not None:
                stop = min(stop, max(start, block.first) + limit)
            # Any other gap is not ours. It is shown as it is, for the reader's verification.
            if following and block.first != following <= self._removed:
                raise WrongState("Entries were removed from the journal in the meantime.")
            if block.first >= stop:
                return
            skipped = max(0, start - block.first)
            wanted = block.lines[skipped : stop - block.first]
            if not following and wanted:
                yield _anchor(block, skipped)
            following = block.last + 1
            yield b"".join(wanted)

    async def line(self, number: int) -> bytes:
        """Return the line of one entry. Raises CorruptRecord if it is missing."""
        async for block in self.records.blocks(await self.records.path_of(number) or ""):
            if block.first <= number <= block.last:
                return block.lines[number - block.first]
            break
        raise CorruptRecord(f"Entry {number} of the journal is missing.")

    # --- removing ---------------------------------------------------------------------------

    def require_removable(self, upto: int) -> None:
        """Raise InvalidInput unless a checkpoint follows the entry `upto`, or is this entry."""
        if upto > self.signed:
            raise InvalidInput(f"No checkpoint follows entry {upto}; the last is {self.signed}.")

    async def remove_some(self, upto: int) -> bool:
        """Remove some of the entries up to number `upto`. Return whether there may be more.

        Raises WriteRefused if the store cannot write.
        """
        self._removed = max(self._removed, upto)
        paths = await self.records.oldest(limit=_MOST_CUT + 1)
        whole = [path for path, following in pairwise(paths) if first_of(following) - 1 <= upto]
        if whole:
            size = await self.records.size_of(whole[0], whole[-1])
            await self._replace([Change(path, None) for path in whole], -size)
        elif paths:
            await self._shorten(paths[0], upto)
        return bool(whole)

    async def _shorten(self, path: str, upto: int) -> None:
        async for block in self.records.blocks(path):
            if block.first > upto:
                return
            chain = Chain(block.first - 1, block.before)
            kept = upto + 1 - block.first
            for line in block.lines[:kept]:
                follows(chain, line)
            changes = [Change(path, None)]
            rest = Block(upto + 1, chain.digest, block.lines[kept:])
            if rest.lines:
                sealed = self.records.put(block_path(rest.first), rest.encoded(), expected=MISSING)
                changes.append(sealed)
            await self._replace(changes, len(rest.encoded()) - len(block.encoded()))
            return

    async def _replace(self, changes: list[Change], growth: int) -> None:
        size = max(0, self.size + growth)
        head = msgspec.structs.replace(self._head, size=size, is_closed=False)
        put = self.records.put_head(head, expected=self._revision)
        self._revision = await self._commit([*changes, put], head)
        self._head = head

    async def _commit(self, changes: Sequence[Change], written: StoredHead) -> int:
        """Make changes, of which one writes the head, and return the revision of the head.

        Raises StaleRevision if another process has written the head since.
        """
        revision = await self._store.commit(changes)
        if all(is_of_journal(change.path) for change in changes):
            return revision
        # A member of a cluster has the other records in another store, whose revision this is.
        head, revision = await self.records.head()
        if head != written:
            raise StaleRevision("Another process writes the journal.")
        return revision


def _anchor(block: Block, skipped: int) -> bytes:
    """Return the line that names the entry before the first one shown, or nothing for entry 1."""
    chain = Chain(block.first - 1, block.before)
    for line in block.lines[:skipped]:
        follows(chain, line)
    if chain.number == 0:
        return b""
    return b'{"anchor":%d,"chain":"%b"}\n' % (chain.number, chain.digest.hex().encode())
