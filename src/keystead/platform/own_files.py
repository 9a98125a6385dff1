"""Finds our own files in the data directory, and makes them private.

Kubernetes gives the pod's group (fsGroup) read and write access to every file of a volume at each
mount. Files of other users are not changed.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def owners(directory: Path) -> Collection[int]:
    """Return the users whose files in `directory` count as ours.

    These are the user of this process, and for root also the owner of the directory, which may be
    the platform's user. Raises OSError if the directory's owner cannot be read.
    """
    user = os.geteuid()
    return {user} if user else {user, directory.stat().st_uid}


def close_again(directory: Path, *, keep: Collection[Path]) -> list[str]:
    """Make our files private. Return the names of those that were not.

    A file in `keep` that everyone can access is not changed, because its content may be known.
    Raises OSError if a file cannot be read or changed.
    """
    ours = owners(directory)
    closed = []
    for path in (directory, *_all_in(directory)):
        status = path.lstat()
        if status.st_uid not in ours or not status.st_mode & OTHERS or _is_special(status):
            continue
        if path in keep and status.st_mode & stat.S_IRWXO:
            continue
        if _close(path):
            closed.append(path.name)
    return closed


def _is_special(status: os.stat_result) -> bool:
    return stat.S_ISLNK(status.st_mode) or stat.S_ISSOCK(status.st_mode)


def _all_in(directory: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(directory):
        yield from (Path(parent, name) for name in (*directories, *files))


def _close(path: Path) -> bool:
    """Make a file or directory private, unless it has other links. Return whether it was.

    A captured platform could create a link here to a file that it does not own.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            return False
        os.fchmod(descriptor, status.st_mode & stat.S_IRWXU)
    finally:
        os.close(descriptor)
    return True
