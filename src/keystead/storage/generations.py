"""Generations: one set of records is replaced by another in a single commit.

A restore replaces every shared record, and may be too large for one commit. So the paths of shared
records begin with a number, the generation, and one small record holds the current number:

    /generation                 the current number; without this record, it is 0
    /next-generation            the number that a restore fills now
    /<number>/<path>            every record but the device-local ones
    /local/<device id>/<path>   device-local records, which no generation holds

A restore fills the next generation in commits of bounded size. Then one commit switches to it and
writes the device-local records that belong to it. Records outside of the current generation are
left over from an earlier generation or an interrupted restore, and are deleted in small commits.
The record of the restore, `/next-generation`, is deleted before them. In a cluster the restore may
still run on another member, which without that record cannot switch to incomplete records.

Each record is sealed to its path without the number, as in a backup.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

from keystead.errors import CorruptRecord, StaleRevision
from keystead.storage.key_value_store import (
    MISSING,
    Change,
    Check,
    KeyValueStore,
    Readable,
    Record,
    Snapshot,
    StoredValue,
)
from keystead.storage.paths import VERSIONS
from keystead.storage.sealed_records import remove_range
from keystead.storage.version_pages import WrittenPages
from keystead.storage.wrapped import WrappedStore

POINTER: Final = "/generation"
_CLAIM: Final = "/next-generation"
LOCAL: Final = "/local/"

_FIRST_NUMBER: Final = "/0"
_AFTER_NUMBERS: Final = "/:"
"""The slash and the character that follows the digits in ASCII."""
_AFTER_SLASH: Final = "0"
"""The character that follows the slash in ASCII."""


class GenerationStore:
    """A KeyValueStore of the records in the current generation.

    It follows the switches that are made through it. A `pinned` store does not.
    """

    def __init__(self, store: KeyValueStore, *, number: int, revision: int) -> None:
        """`revision` is that of the pointer record from which `number` was read."""
        self._store = store
        self._enter(number, revision)

    def _enter(self, number: int, revision: int) -> None:
        self._number = number
        self._prefix = f"/{number}"
        self._in_force = Check(POINTER, revision)

    @classmethod
    async def open(cls, store: KeyValueStore) -> "GenerationStore":
        """Return the current generation.

        Raises CorruptRecord if its number is damaged, and StoreUnavailable if the store cannot be
        read.
        """
        number, revision = await _in_force(store)
        return cls(store, number=number, revision=revision)

    @property
    def number(self) -> int:
        """The number of the generation."""
        return self._number

    @classmethod
    def not_read(cls, store: KeyValueStore) -> "GenerationStore":
        """Return a store that has to `follow` before it is used for shared records."""
        return cls(store, number=0, revision=MISSING)

    async def follow(self) -> bool:
        """Read the current number again. Return whether it has changed.

        Use it if a switch failed and may have been made.
        """
        before = self._number
        self._enter(*await _in_force(self._store))
        return self._number != before

    def logical(self, path: str) -> str | None:
        """Return the path in this generation of a record in the store around it, or None."""
        return self._logical(path) if path.startswith(self._prefix + "/") else None

    def pinned(self) -> "GenerationStore":
        """Return a store of the present generation. After a switch, commits raise StaleRevision.

        Use it for decisions that rest on earlier reads, and for records that are sealed under a
        key that a switch may replace.
        """
        return GenerationStore(self._store, number=self._number, revision=self._in_force.revision)

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if the store cannot be read.
        """
        return await self._store.get(self._physical(path))

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order. See `scan` for the range."""
        found = await self._store.list(*self._range(start, stop), limit=limit)
        return [self._logical(path) for path in found]

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them.

        A range must lie entirely inside or entirely outside of the device-local records.
        """
        first, end = self._range(start, stop)
        found = await self._store.scan(first, end, limit_bytes=limit_bytes)
        return [Record(self._logical(path), entry) for path, entry in found]

    async def snapshot(self) -> Snapshot:
        """Return the shared records of the current generation as they are now.

        Raises StaleRevision if another generation has come into force.
        """
        snapshot = await self._store.snapshot()
        async with AsyncExitStack() as closing:
            closing.push_async_callback(snapshot.close)
            if await _in_force(snapshot) != (self._number, self._in_force.revision):
                raise StaleRevision("Other records have come into force.")
            _ = closing.pop_all()
        return _GenerationSnapshot(snapshot, self._prefix)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none.

        Raises StaleRevision also if another generation has come into force, and what
        `KeyValueStore.commit` does.
        """
        return await self._store.commit(
            [self._change(change) for change in changes],
            checks=[
                *(Check(self._physical(check.path), check.revision) for check in checks),
                self._in_force,
            ],
        )

    # --- the next generation ---------------------------------------------------------------

    async def begin_next(self) -> "NextGeneration":
        """Return the next generation, empty. There must be one at a time, and no `sweep`."""
        await self.sweep()
        number = self._number + 1
        claim = Change(_CLAIM, b"%d" % number, MISSING)
        revision = await self._store.commit([claim], checks=[self._in_force])
        conditions = [self._in_force, Check(_CLAIM, revision)]
        return NextGeneration(self, self._store, number=number, conditions=conditions)

    async def sweep(self) -> None:
        """Delete all other generations. Raises StaleRevision if this one is no longer current.

        A restore that fills one of them fails, also on another member of a cluster. So does this,
        if a restore begins there meanwhile.
        """
        if await self._store.get(_CLAIM) is not None:
            _ = await self._store.commit([Change(_CLAIM, None)], checks=[self._in_force])
        await self.sweep_unclaimed()

    async def sweep_unclaimed(self) -> None:
        """Delete all other generations, unless a restore fills one of them.

        Raises StaleRevision if this one is no longer current, or if a restore begins meanwhile.
        """
        if await self._store.get(_CLAIM) is not None:
            return
        unclaimed = [self._in_force, Check(_CLAIM, MISSING)]
        for start, stop in self._others():
            _ = await remove_range(self._store, start, stop, checks=unclaimed)

    # --- inside ----------------------------------------------------------------------------

    def _others(self) -> Sequence[tuple[str, str]]:
        return [
            (_FIRST_NUMBER, f"{self._prefix}/"),
            (f"{self._prefix}{_AFTER_SLASH}", _AFTER_NUMBERS),
        ]

    def _physical(self, path: str) -> str:
        return path if path.startswith(LOCAL) else self._prefix + path

    def _logical(self, path: str) -> str:
        return path if path.startswith(LOCAL) else path.removeprefix(self._prefix)

    def _range(self, start: str, stop: str) -> tuple[str, str]:
        if start.startswith(LOCAL):
            return start, stop
        return self._prefix + start, self._prefix + stop

    def _change(self, change: Change) -> Change:
        return Change(self._physical(change.path), change.value, change.expected)


class _GenerationSnapshot:
    """The shared records of one generation, as they were."""

    def __init__(self, snapshot: Snapshot, prefix: str) -> None:
        self._snapshot = snapshot
        self._prefix = prefix
        self.close: Final = snapshot.close

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None."""
        return await self._snapshot.get(self._prefix + path)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them."""
        found = await self._snapshot.scan(
            self._prefix + start, self._prefix + stop, limit_bytes=limit_bytes
        )
        return [Record(path.removeprefix(self._prefix), entry) for path, entry in found]


async def _in_force(store: Readable) -> tuple[int, int]:
    """Return the current number, and the revision of its record."""
    pointer = await store.get(POINTER)
    if pointer is None:
        return 0, MISSING
    if not pointer.value.isdigit():
        raise CorruptRecord(f"The record {POINTER} cannot be read.")
    return int(pointer.value), pointer.revision


class _NotedStore(WrappedStore):
    """A KeyValueStore that notes what is written into one generation."""

    def __init__(self, store: KeyValueStore, number: int) -> None:
        super().__init__(store)
        self._folder = f"/{number}/"
        self._root = f"/{number}{VERSIONS}"
        self.written: Final = WrittenPages()

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. Raises what the other store does."""
        revision = await self._store.commit(changes, checks=checks)
        for change in changes:
            if change.path.startswith(self._folder) and not change.path.startswith(self._root):
                self.written.note(change.path, change.value)
        return revision


class NextGeneration:
    """A generation that is being filled and is not the current one yet."""

    def __init__(
        self,
        present: GenerationStore,
        store: KeyValueStore,
        *,
        number: int,
        conditions: Sequence[Check],
    ) -> None:
        """`conditions` hold while the current generation stays and nobody deletes this one."""
        self._present = present
        self._store = _NotedStore(store, number)
        self._number = number
        self._in_force, self._claim = self._conditions = conditions

    @property
    def number(self) -> int:
        """The number of the generation."""
        return self._number

    def pages(self) -> Mapping[int, bytes]:
        """Return the versions of all records that were written, whatever the store has of them."""
        return self._store.written.pages()

    async def write(self, changes: Sequence[Change]) -> None:
        """Write records that are given by their paths with the number. Raises as `add` does."""
        _ = await self._store.commit(changes, checks=self._conditions)

    async def add(self, records: Mapping[str, bytes]) -> None:
        """Write `records`, which are given by their paths without the number.

        None of them may be device-local. Raises StaleRevision if another generation has become the
        current one in the meantime, or if this one is being deleted.
        """
        await self.write(
            [Change(f"/{self._number}{path}", value) for path, value in records.items()]
        )

    async def require_kept(self) -> None:
        """Raise StaleRevision if another member may have deleted some of the records."""
        claim = await self._store.get(_CLAIM)
        if claim is None or claim.revision != self._claim.revision:
            raise StaleRevision("Another restore has deleted what this one had written.")

    async def give_up(self) -> None:
        """Let others delete this generation, unless it has become the current one."""
        with suppress(StaleRevision):
            _ = await self._store.commit([Change(_CLAIM, None, self._claim.revision)])

    def view(self) -> GenerationStore:
        """Return the generation as a store of its own."""
        return GenerationStore(self._store, number=self._number, revision=self._in_force.revision)

    async def bring_into_force(
        self, changes: Sequence[Change], *, checks: Sequence[Check] = ()
    ) -> None:
        """Switch to this generation, in one commit with `changes` of device-local records.

        `checks` have paths with numbers. Raises StaleRevision, with nothing changed, if one does
        not hold, if another generation has become the current one in the meantime, or if this one
        is being deleted, and StoreUnavailable if the store fails.
        """
        pointer = Change(POINTER, b"%d" % self._number, self._in_force.revision)
        claim = Change(_CLAIM, None, self._claim.revision)
        revision = await self._store.commit([pointer, claim, *changes], checks=checks)
        self._present._enter(self._number, revision)  # noqa: SLF001  the two are one
