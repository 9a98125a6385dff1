"""The thread that writes the SQLite store: many commits, one sync to disk."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from keystead.errors import KeysteadError, StaleRevision, WriteRefused
from keystead.storage.backends import sqlite_file
from keystead.storage.key_value_store import MISSING, Change, Check

_MAX_GROUP = 256
"""The most commits that are written with one sync."""

_QUIET_SECONDS = 1
"""After this time without a commit, the log is copied into the database."""

_SAME_SIZE_BYTES = 128
"""How much a commit that replaces records may grow: a longer counter, a newer form of a seal."""

_DISK_FULL = "The disk is full. Nothing can be added until there is free space again."

_PUT = """
INSERT INTO record (path, value, revision) VALUES (?, ?, ?)
ON CONFLICT (path) DO UPDATE SET value = excluded.value, revision = excluded.revision
"""


@dataclass(frozen=True, slots=True)
class SqliteJob:
    """A commit, and the future for its revision or for the error that refused it."""

    changes: Sequence[Change]
    checks: Sequence[Check]
    revision: asyncio.Future[int]


class SqliteWriter:
    """Takes jobs from a queue. A future in the queue ends it, and is completed then."""

    def __init__(
        self,
        path: Path,
        queue: SimpleQueue[SqliteJob | asyncio.Future[None]],
        *,
        settled: Callable[[], None],
    ) -> None:
        """`settled` is called on the event loop, once for every job."""
        self._path = path
        self._queue = queue
        self._settled = settled
        self._connection: sqlite3.Connection | None = None
        self._revision = MISSING
        self._has_room = True
        self._is_copied = True
        """Whether the whole log was copied into the database."""

    def run(self) -> None:
        """Write until told to stop. Then the database file is complete without a log."""
        self._write([])  # This extends the log to its reserved size.
        stopped = None
        while stopped is None:
            jobs, stopped = self._take()
            if not jobs:
                self._copy()
            else:
                outcomes = self._write(jobs)
                loop = jobs[0].revision.get_loop()
                loop.call_soon_threadsafe(self._settle, jobs, outcomes)
        self._disconnect()
        stopped.get_loop().call_soon_threadsafe(stopped.set_result, None)

    def _take(self) -> tuple[list[SqliteJob], asyncio.Future[None] | None]:
        """Wait for a job. Return it with all jobs queued behind it, and the end if it is queued.

        Returns neither after a while without a commit.
        """
        jobs: list[SqliteJob] = []
        patience = None if self._is_copied else _QUIET_SECONDS
        while len(jobs) < _MAX_GROUP:
            try:
                item = self._queue.get(block=not jobs, timeout=patience)
            except Empty:
                break
            if not isinstance(item, SqliteJob):
                return jobs, item
            jobs.append(item)
        return jobs, None

    def _settle(self, jobs: list[SqliteJob], outcomes: list[int | KeysteadError]) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._settled()
            if job.revision.done():
                continue
            if isinstance(outcome, KeysteadError):
                job.revision.set_exception(outcome)
            else:
                job.revision.set_result(outcome)

    def _write(self, jobs: list[SqliteJob]) -> list[int | KeysteadError]:
        try:
            return self._commit(jobs)
        except Exception as error:  # noqa: BLE001  whatever it is, callers must hear of it
            self._disconnect()
            if jobs and _is_full(error):
                self._cut_log()
            if len(jobs) > 1 and _is_full(error):
                # A large job must not make the small jobs in the same transaction fail.
                return [outcome for job in jobs for outcome in self._write([job])]
            return [_refusal(error) for _ in jobs]

    def _commit(self, jobs: list[SqliteJob]) -> list[int | KeysteadError]:
        if not self._has_room:
            self._copy()
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        self._has_room = sqlite_file.has_room(self._path)
        self._catch_up(connection)
        outcomes = [self._apply(connection, job) for job in jobs]
        connection.execute("UPDATE last_commit SET revision = ?", (self._revision,))
        connection.execute("COMMIT")
        self._is_copied = False
        return outcomes

    def _apply(self, connection: sqlite3.Connection, job: SqliteJob) -> int | KeysteadError:
        """Check everything first, so that a refused job has changed nothing."""
        expected = [
            (change.path, change.expected) for change in job.changes if change.expected is not None
        ]
        expected += [(check.path, check.revision) for check in job.checks]
        for path, revision in expected:
            if _revision_of(connection, path) != revision:
                return StaleRevision("The record was changed by someone else.")
        if not self._has_room and _adds(connection, job):
            return WriteRefused(_DISK_FULL)
        self._revision = revision = self._revision + 1
        puts = [
            (change.path.encode(), change.value, revision)
            for change in job.changes
            if change.value is not None
        ]
        deletions = [(change.path.encode(),) for change in job.changes if change.value is None]
        if puts:
            connection.executemany(_PUT, puts)
        if deletions:
            connection.executemany("DELETE FROM record WHERE path = ?", deletions)
        return revision

    def _cut_log(self) -> None:
        """Release the space of a failed commit: the first commit after a copy truncates the log."""
        self._copy()
        self._write([])

    def _copy(self) -> None:
        """Copy the log into the database, while the disk has space for it to grow.

        On a full disk, the log can be overwritten only after all of it was copied.
        """
        self._is_copied = True
        with suppress(sqlite3.Error):
            self._connected().execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite_file.connect(self._path)
        return self._connection

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Continue after the last revision, even if another process wrote it."""
        (stored,) = connection.execute("SELECT revision FROM last_commit").fetchone()
        self._revision = max(self._revision, stored)

    def _disconnect(self) -> None:
        """Roll back by closing the connection, which is not trusted after an error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _refusal(error: Exception) -> WriteRefused:
    """Return the error for callers. It is WriteRefused, because nothing was committed.

    If the sync of a commit has failed, its pages may be in the log. But no connection reads them,
    and the next commit overwrites them. Whether the store can be read shows at the next read.
    """
    if _is_full(error):
        return WriteRefused(_DISK_FULL)
    return WriteRefused(f"The store cannot be written: {error} ({_name_of(error)}).")


def _is_full(error: Exception) -> bool:
    return _name_of(error) == "SQLITE_FULL"


def _name_of(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _adds(connection: sqlite3.Connection, job: SqliteJob) -> bool:
    """Whether a commit makes the store larger.

    An empty commit counts as if it did, because callers use it to ask whether there is space.
    """
    growth = 0 if job.changes else _SAME_SIZE_BYTES + 1
    for change in job.changes:
        growth += len(change.value or b"") - _size_of(connection, change.path)
    return growth > _SAME_SIZE_BYTES


def _size_of(connection: sqlite3.Connection, path: str) -> int:
    query = "SELECT length(value) FROM record WHERE path = ?"
    rows = connection.execute(query, (path.encode(),)).fetchall()
    return rows[0][0] if rows else 0


def _revision_of(connection: sqlite3.Connection, path: str) -> int:
    rows = connection.execute(
        "SELECT revision FROM record WHERE path = ?", (path.encode(),)
    ).fetchall()
    return rows[0][0] if rows else MISSING
