"""Reading the SQLite store: its records now, and as they were at one moment.

A snapshot is a read transaction on a connection of its own. SQLite keeps in its log what was
written since, and cannot use the log from its beginning again. So all snapshots end when the log
becomes too long for that, or the disk too full.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from keystead.errors import SnapshotUnavailable, StoreUnavailable
from keystead.storage.backends import sqlite_file
from keystead.storage.key_value_store import Record, StoredValue

_SCAN: Final = """
SELECT path, value, revision FROM record WHERE path >= ? AND path < ? ORDER BY path
"""


def record_at(reader: sqlite3.Connection, path: str) -> StoredValue | None:
    """Return the record at `path`, or None."""
    query = "SELECT value, revision FROM record WHERE path = ?"
    # All rows at once: an open statement would keep the log from being truncated.
    rows = reader.execute(query, (path.encode(),)).fetchall()
    return StoredValue(*rows[0]) if rows else None


def records_in(
    reader: sqlite3.Connection, start: str, stop: str, *, limit_bytes: int
) -> Sequence[Record]:
    """Return the first records in [start, stop), about `limit_bytes` of them."""
    found: list[Record] = []
    size = 0
    rows = reader.execute(_SCAN, (start.encode(), stop.encode()))
    try:
        for path, value, revision in rows:
            size += len(path) + len(value)
            if found and size > limit_bytes:
                break
            found.append(Record(path.decode(), StoredValue(value, revision)))
    finally:
        # An open statement would keep the log from being truncated.
        rows.close()
    return found


class SqliteSnapshots:
    """The snapshots of one database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: set[SqliteSnapshot] = set()

    def take(self) -> "SqliteSnapshot":
        """Return the records as they are now. Raises StoreUnavailable if they cannot be read."""
        try:
            reader = sqlite_file.connect(self._path)
            try:
                reader.execute("BEGIN")
                # The transaction begins with the first read.
                reader.execute("SELECT revision FROM last_commit").fetchall()
            except BaseException:
                reader.close()
                raise
        except sqlite3.Error as error:
            raise StoreUnavailable(f"The store cannot be read: {error}") from error
        snapshot = SqliteSnapshot(self._open, reader)
        self._open.add(snapshot)
        return snapshot

    def make_room(self) -> None:
        """End all snapshots if the next commit would need what they keep."""
        if self._open and sqlite_file.must_cut_log(self._path):
            self.end()

    def end(self) -> None:
        """End all snapshots."""
        for snapshot in list(self._open):
            snapshot.end()


class SqliteSnapshot:
    """The records as they were."""

    def __init__(self, siblings: "set[SqliteSnapshot]", reader: sqlite3.Connection) -> None:
        """`siblings` are all that are open. The snapshot is removed from them when it ends."""
        self._siblings = siblings
        self._reader: sqlite3.Connection | None = reader

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None. Raises StoreUnavailable if it cannot be read."""
        reader = self._require_reader()
        try:
            return record_at(reader, path)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"The store cannot be read: {error}") from error

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them.

        Raises StoreUnavailable if they cannot be read.
        """
        reader = self._require_reader()
        try:
            return records_in(reader, start, stop, limit_bytes=limit_bytes)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"The store cannot be read: {error}") from error

    async def close(self) -> None:
        """Have SQLite keep the records no longer."""
        self.end()

    def end(self) -> None:
        """End the transaction. Later reads raise SnapshotUnavailable."""
        self._siblings.discard(self)
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(sqlite3.Error):
                reader.close()

    def _require_reader(self) -> sqlite3.Connection:
        if self._reader is None:
            raise SnapshotUnavailable(
                "The records of that moment are no longer kept: too much has changed since, or the "
                "disk is full."
            )
        return self._reader
