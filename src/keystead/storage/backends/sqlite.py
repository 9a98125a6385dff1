"""The embedded store: one SQLite file, every commit durable before it is acknowledged.

One thread writes the commits. While it syncs some commits to disk, others queue up, and one sync
makes all of those durable together. Reads see the last commit. They take microseconds and run on
the event loop.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from keystead.errors import StoreUnavailable
from keystead.storage.backends import sqlite_file
from keystead.storage.backends.sqlite_snapshots import SqliteSnapshots, record_at, records_in
from keystead.storage.backends.sqlite_writer import SqliteJob, SqliteWriter
from keystead.storage.key_value_store import Change, Check, Record, Snapshot, StoredValue

MAX_PENDING = 1024
"""The most commits that may be queued or running. More of them wait for a place."""


class SqliteStore:
    """A KeyValueStore in a file. Only one event loop at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Open the database at `path`, or create it. See `sqlite_file.prepare` for the errors."""
        sqlite_file.prepare(path)
        self._path = path
        self._reader: sqlite3.Connection | None = sqlite_file.connect(path)
        self._snapshots = SqliteSnapshots(path)
        self._places = asyncio.Semaphore(MAX_PENDING)
        self._closed = False
        self._queue: SimpleQueue[SqliteJob | asyncio.Future[None]] = SimpleQueue()
        writer = SqliteWriter(path, self._queue, settled=self._places.release)
        self._thread = Thread(target=writer.run, name="store-writer", daemon=True)
        self._thread.start()

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if the file cannot be read.
        """
        with self._reading() as reader:
            return record_at(reader, path)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises StoreUnavailable if the file cannot be read.
        """
        query = "SELECT path FROM record WHERE path >= ? AND path < ? ORDER BY path LIMIT ?"
        with self._reading() as reader:
            # All rows at once: an open statement would keep the log from being truncated.
            rows = reader.execute(query, (start.encode(), stop.encode(), limit)).fetchall()
        return [path.decode() for (path,) in rows]

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them.

        Raises StoreUnavailable if the file cannot be read.
        """
        with self._reading() as reader:
            return records_in(reader, start, stop, limit_bytes=limit_bytes)

    async def snapshot(self) -> Snapshot:
        """Return the records as they are now.

        Raises StoreUnavailable if the file cannot be read.
        """
        with self._reading():
            return self._snapshots.take()

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none. Raises what `KeyValueStore.commit` does.

        A caller that is cancelled does not know whether its changes were made.
        """
        await self._places.acquire()
        if self._closed:
            self._places.release()
            raise StoreUnavailable("The store is closed.")
        self._snapshots.make_room()
        job = SqliteJob(changes, checks, asyncio.get_running_loop().create_future())
        self._queue.put(job)
        return await job.revision

    async def close(self) -> None:
        """Finish the commits already accepted, then close the file."""
        if self._closed:
            return
        self._closed = True
        self._snapshots.end()
        stopped = asyncio.get_running_loop().create_future()
        self._queue.put(stopped)
        await stopped
        self._thread.join()
        self._give_up_reader()
        sqlite_file.keep_room(self._path)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        try:
            if self._reader is None:
                self._reader = sqlite_file.connect(self._path)
            yield self._reader
        except sqlite3.Error as error:
            self._give_up_reader()
            raise StoreUnavailable(f"The store cannot be read: {error}") from error

    def _give_up_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
