"""The SQLite database file. It is created as a whole, and checked before it is touched."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from keystead.errors import StoreUnavailable, UnsupportedFormat

APPLICATION_ID = int.from_bytes(b"KSTD")
FORMAT_VERSION = 1

LOG_BYTES = 16 * 2**20
"""The size of the log from the start, and after it was truncated; on a file system of less than
64 MiB, a quarter of that.

Records are added only while the disk has as much free space besides. So on a full disk, the log
still has room for changes that delete or replace. They do not make the database grow, so the log
can be copied into it and then be overwritten from its beginning.
"""

MOST_LOG_BYTES = 2**30
"""How long the log may become while a snapshot keeps it from being used again."""

_PARTS_OF_SMALL_DISK = 4
"""The log takes at most one of them, and one stays free."""

RESERVE = "-reserve"
"""The suffix of the file that reserves space while the database is closed."""
_RESERVE_BYTES = LOG_BYTES + 64 * 1024
"""The size of the log, and twice that of its index, which has to be created even to read."""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_VERSION_AT = slice(60, 64)
_APPLICATION_AT = slice(68, 72)

# The path is not the primary key of a WITHOUT ROWID table: each value would be in the inner pages
# then (measured: three times the size, a fifth of the speed).
_SCHEMA = """
CREATE TABLE record (
    path BLOB NOT NULL UNIQUE,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE TABLE last_commit (revision INTEGER NOT NULL) STRICT;
INSERT INTO last_commit VALUES (0);
"""

# Acknowledged means durable: FULL syncs the log at every commit. The log is copied into the
# database every 1000 pages.
_SETTINGS = f"""
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
PRAGMA wal_autocheckpoint = 1000;
PRAGMA journal_size_limit = {LOG_BYTES};
PRAGMA cache_size = -4096;
"""


def prepare(path: Path) -> None:
    """Create the database at `path` (mode 0600) unless it exists.

    Raises UnsupportedFormat, and touches nothing, if the file is newer than this software or not a
    Keystead database. Raises StoreUnavailable if it can be neither read nor created.
    """
    try:
        if path.exists():
            _check_header(path)
            path.with_name(path.name + RESERVE).unlink(missing_ok=True)
        else:
            _create(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"The database {path} cannot be opened: {error}") from error
    _check_version(path, version)


def paths(path: Path, start: str, stop: str) -> list[str]:
    """Return the paths in [start, stop) of the records in the database, none if there is none.

    For use before a store is opened. Raises UnsupportedFormat and StoreUnavailable as `prepare`
    does.
    """
    if not path.exists():
        return []
    prepare(path)
    within = (start.encode(), stop.encode())
    try:
        with closing(connect(path)) as connection:
            rows = connection.execute(
                "SELECT path FROM record WHERE path >= ? AND path < ?", within
            )
            return [found.decode() for (found,) in rows]
    except sqlite3.Error as error:
        raise StoreUnavailable(f"The database {path} cannot be read: {error}") from error


def keep_room(path: Path) -> None:
    """Reserve the space that `prepare` needs, in case the disk is full at the next start.

    There is space now, because the log and its index have just been removed.
    """
    with suppress(OSError):
        _allocate(path.with_name(path.name + RESERVE), _RESERVE_BYTES, flags=os.O_CREAT)


def has_room(path: Path) -> bool:
    """Return whether the disk has space to add records. Extend the log if it is too short.

    The caller holds the database's write lock. SQLite ignores what lies behind the end of the log.
    """
    log = path.with_name(path.name + "-wal")
    try:
        disk = os.statvfs(path.parent)
        wanted = _wanted(disk)
        if log.stat().st_size < wanted:
            _allocate(log, wanted)
            disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize >= wanted


def must_cut_log(path: Path) -> bool:
    """Return whether the log is too long, or the disk too full to let it grow."""
    log = path.with_name(path.name + "-wal")
    try:
        disk = os.statvfs(path.parent)
        size = log.stat().st_size
    except OSError:
        return True
    return size > MOST_LOG_BYTES or disk.f_bavail * disk.f_frsize < _wanted(disk)


def _wanted(disk: os.statvfs_result) -> int:
    """Return the size of the log, and of what must be free besides."""
    return min(LOG_BYTES, disk.f_blocks * disk.f_frsize // _PARTS_OF_SMALL_DISK)


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to a prepared database, in autocommit mode, for any one thread."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(_SETTINGS)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _allocate(path: Path, size: int, *, flags: int = 0) -> None:
    """Allocate `size` bytes of disk space for a file. Raises OSError, possibly after a part."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    application = int.from_bytes(header[_APPLICATION_AT])
    if not header.startswith(_MAGIC) or application != APPLICATION_ID:
        raise UnsupportedFormat(f"{path} is not a Keystead database.")
    _check_version(path, int.from_bytes(header[_VERSION_AT]))


def _check_version(path: Path, version: int) -> None:
    if version != FORMAT_VERSION:
        raise UnsupportedFormat(
            f"{path} has format version {version}; this software reads {FORMAT_VERSION}."
        )


def _create(path: Path) -> None:
    """Create the database under another name first, so that a crash leaves it whole or absent."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.executescript(_SCHEMA)
    unfinished.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
