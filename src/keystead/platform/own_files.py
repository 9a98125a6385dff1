"""Which files of the data directory are ours, and that no others can use these.

A volume opens them: Kubernetes gives every file of one to the pod's group (fsGroup), to read and to
write, each time that it is mounted. What belongs to another user is left as it is.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def owners(directory: Path) -> Collection[int]:
    """Return whose files in `directory` are ours. Raises OSError.

    They are this process's own; for root, also those of the directory's owner, which may be the
    platform's user.
    """
    user = os.geteuid()
    return {user} if user else {user, directory.stat().st_uid}


def close_again(directory: Path, *, keep: Collection[Path]) -> list[str]:
    """Close what is ours to group and others; return the names of what was open. Raises OSError.

    What is in `keep` stays as it is if it is open to everyone: whoever read it has it.
    """
    ours = owners(directory)
    closed = []
    for path in (directory, *_all_in(directory)):
        status = path.lstat()
        if status.st_uid not in ours or not status.st_mode & OTHERS or path.is_symlink():
            continue
        if path in keep and status.st_mode & stat.S_IRWXO:
            continue
        if _close(path):
            closed.append(path.name)
    return closed


def _all_in(directory: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(directory):
        yield from (Path(parent, name) for name in (*directories, *files))


def _close(path: Path) -> bool:
    """Close a file or directory; return whether it was. Not one that lies elsewhere too.

    The platform may write here. Taken over, it could link to a file that is not its own.
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
