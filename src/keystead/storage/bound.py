"""A store whose records are the present ones: an older version that was put back is refused.

Each commit that changes records also writes their versions (`storage/versions`).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Final, TypeVar

from keystead.errors import CorruptRecord, WrongState
from keystead.storage.bound_writer import BoundWriter
from keystead.storage.key_value_store import (
    Change,
    Check,
    KeyValueStore,
    Record,
    Snapshot,
    StoredValue,
)
from keystead.storage.versions import Versions

T = TypeVar("T")

_SCAN_BYTES: Final = 64 * 1024
_AFTER: Final = "\U0010ffff"
_TRIES: Final = 100
"""How often a read is repeated because other devices change the page of the record."""


class BoundStore:
    """A KeyValueStore around another one, which may hold older records than it was given.

    It checks the records of one generation, while `follow` was told to.
    """

    def __init__(self, store: KeyValueStore, on_wrong: Callable[[str], None]) -> None:
        """`on_wrong` gets the path of each record that is read and is not the present one."""
        self._store = store
        self._on_wrong = on_wrong
        self._versions: Versions | None = None
        self._writer = BoundWriter(store)

    def follow(self, versions: Versions | None) -> None:
        """Check records against these versions from now on, or with None no records.

        If other versions follow, those before are closed. With None, the session closes them that
        has them, because it may still read with them.
        """
        if versions is not None and self._versions is not None:
            self._versions.close()
        self._versions = versions

    @property
    def position(self) -> tuple[int, int] | None:
        """The position of the root that is followed, or None without one."""
        return None if self._versions is None else self._versions.position

    @property
    def generation(self) -> int | None:
        """The number of the generation whose records are checked now, or None."""
        versions = self._versions
        return versions.position[0] if versions is not None and versions.is_open else None

    async def load(self) -> None:
        """Read the root again, if one is followed: another device may have changed it."""
        versions = self._versions
        if versions is not None and versions.is_open:
            async with self._writer.turn:
                with suppress(CorruptRecord):  # Whoever reads a record next is told.
                    _ = await versions.load()

    # --- reading ----------------------------------------------------------------------------

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None. Raises CorruptRecord for an older one."""
        versions = self._versions_of(path)
        if versions is None:
            return await self._store.get(path)

        async def read() -> tuple[StoredValue | None, str | None]:
            entry = await self._store.get(path)
            is_present = await versions.is_present(path, None if entry is None else entry.value)
            return entry, None if is_present else path

        found, wrong = await self._settled(versions, read)
        if wrong is not None:
            raise self._refusal(wrong)
        return found

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises CorruptRecord if the record at one of them was deleted and put back.
        """
        versions = self._versions_of(start)
        if versions is None:
            return await self._store.list(start, stop, limit=limit)

        found: list[str] = []
        while wanted := limit - len(found):
            paths = await self._store.list(start, stop, limit=wanted)
            # A path that is not known may be one that another device has changed meanwhile.
            found += [
                path
                for path in paths
                if await versions.is_known(path) or await self.get(path) is not None
            ]
            if len(paths) < wanted:
                break
            start = paths[-1] + "\0"
        return found

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), in order.

        The value of a record that is not the present one is empty: it does not open.
        """
        versions = self._versions_of(start)
        if versions is None:
            return await self._store.scan(start, stop, limit_bytes=limit_bytes)

        while found := await self._store.scan(start, stop, limit_bytes=limit_bytes):
            checked = [await self._checked(versions, record) for record in found]
            if present := [record for record in checked if record is not None]:
                return present
            start = found[-1].path + "\0"
        return []

    async def snapshot(self) -> Snapshot:
        """Return the records as they are now, checked against the root that they have now.

        Raises CorruptRecord if that root is older than the one before.
        """
        versions = self._versions
        if versions is None or not versions.is_open:
            return await self._store.snapshot()
        return await self._seen(versions)

    async def all_records(self) -> AsyncGenerator[Record, None]:
        """Yield each record of the generation, as they are at one moment.

        Raises CorruptRecord if one is not the present one, and at the end if one is missing: a
        list may lack what the store hides. Raises WrongState if no records are checked now.
        """
        versions = self._versions
        if versions is None or not versions.is_open:
            raise WrongState("The HSM was locked in the meantime.")
        snapshot = await self._seen(versions)
        try:
            async with aclosing(snapshot.all_records()) as records:
                async for record in records:
                    yield record
        finally:
            await snapshot.close()

    async def _seen(self, versions: Versions) -> "_BoundSnapshot":
        async with AsyncExitStack() as closing:
            seen = versions.copied()
            closing.callback(seen.close)
            snapshot = await self._store.snapshot()
            closing.push_async_callback(snapshot.close)
            await seen.look_into(snapshot)
            _ = closing.pop_all()
        return _BoundSnapshot(snapshot, seen, self._on_wrong)

    async def _checked(self, versions: Versions, record: Record) -> Record | None:
        """Return the record as it is now, or None if another device has removed it meanwhile."""
        path, entry = record
        if await versions.is_present(path, entry.value):
            return record
        try:
            now = await self.get(path)
        except CorruptRecord:
            return Record(path, StoredValue(b"", entry.revision))
        return None if now is None else Record(path, now)

    def _versions_of(self, path: str) -> Versions | None:
        versions = self._versions
        if versions is None or not versions.is_open or not versions.covers(path):
            return None
        return versions

    async def _settled(
        self, versions: Versions, read: Callable[[], Awaitable[tuple[T, str | None]]]
    ) -> tuple[T, str | None]:
        """Return what `read` returns: a result, and the path of a record that is wrong in it.

        A record may seem wrong while a commit is under way, or after another device has made one.
        So it is read again, between commits of this device, until the root has stayed the same.
        """
        found, wrong = await read()
        if wrong is None:
            return found, None
        async with self._writer.turn:
            for _ in range(_TRIES):
                found, wrong = await read()
                if wrong is None or not await versions.load():
                    break
        return found, wrong

    def _refusal(self, path: str) -> CorruptRecord:
        self._on_wrong(path)
        return CorruptRecord(f"The record {path} is not the one that was written last.")

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. Raises what the other store does.

        Raises CorruptRecord if a page of the versions does not fit the root.
        """
        versions = self._versions
        if versions is None or not any(versions.covers(change.path) for change in changes):
            return await self._store.commit(changes, checks=checks)
        return await self._writer.commit(versions, changes, checks)


class _BoundSnapshot:
    """Records as they were, checked against the root that they had."""

    def __init__(
        self, snapshot: Snapshot, versions: Versions, on_wrong: Callable[[str], None]
    ) -> None:
        self._snapshot = snapshot
        self._versions = versions
        self._on_wrong = on_wrong

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None. Raises CorruptRecord for another version."""
        entry = await self._snapshot.get(path)
        if not await self._is_present(path, None if entry is None else entry.value):
            raise CorruptRecord(f"The record {path} is not the one that was written last.")
        return entry

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), in order.

        The value of a record that is another version is empty: it does not open.
        """
        found = await self._snapshot.scan(start, stop, limit_bytes=limit_bytes)
        return [
            record
            if await self._is_present(record.path, record.entry.value)
            else Record(record.path, StoredValue(b"", record.entry.revision))
            for record in found
        ]

    async def all_records(self) -> AsyncGenerator[Record, None]:
        """Yield each record. Raises CorruptRecord if one is another version, or is missing."""
        versions, count = self._versions, 0
        start = last = versions.folder
        while found := await self._snapshot.scan(
            start, versions.folder + _AFTER, limit_bytes=_SCAN_BYTES
        ):
            for record in found:
                # A record that came before stands for no other one.
                if versions.covers(record.path) and record.path > last:
                    if not await self._is_present(record.path, record.entry.value):
                        raise CorruptRecord(f"The record {record.path} is not the present one.")
                    count += 1
                    yield record
                last = max(record.path, last)
            start = found[-1].path + "\0"
        missing = await versions.count() - count
        if missing:
            raise CorruptRecord(f"{missing} records are missing from the store.")

    async def close(self) -> None:
        """Have the store keep the records no longer."""
        self._versions.close()
        await self._snapshot.close()

    async def _is_present(self, path: str, value: bytes | None) -> bool:
        versions = self._versions
        if not versions.covers(path) or await versions.is_present(path, value):
            return True
        self._on_wrong(path)
        return False
