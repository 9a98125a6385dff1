"""The owner of the data directory: the platform's own user, if the supervisor is root."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from keystead.errors import StartRefused
from keystead.processes import sandbox

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def hand_over(directory: Path) -> int | None:
    """Give a data directory, and all in it, to the user that the platform will run as.

    Returns that user. Returns None if the platform has to run as the present user, because this
    process may not use other users or they cannot reach the directory. Raises StartRefused if the
    owner of a file cannot be changed.
    """
    if os.geteuid() != 0:
        return None
    own = sandbox.own_user("platform")
    user = own if own is not None and _reaches(own, directory) else None
    try:
        _give(directory, os.geteuid() if user is None else user)
    except OSError as error:
        raise StartRefused(f"The data directory {directory}: {error.strerror}.") from error
    return user


def _reaches(user: int, directory: Path) -> bool:
    """Return whether this user can reach the directory through its parents."""
    group = os.getegid()
    os.setegid(user)
    os.seteuid(user)
    try:
        directory.stat()
    except OSError:
        return False
    finally:
        os.seteuid(0)
        os.setegid(group)
        sandbox.forbid_dumps()
    return True


def _give(directory: Path, user: int) -> None:
    """Change the owner of everything in `directory`, and then of the directory itself."""
    known = {os.geteuid(), sandbox.USERS["platform"]}
    for parent, directories, files in os.walk(directory):
        for name in (*files, *directories):
            with contextlib.suppress(FileNotFoundError):
                _give_one(Path(parent, name), user, known)
    _give_one(directory, user, known)


def _give_one(path: Path, user: int, known: set[int]) -> None:
    """Change the owner of a file or directory, unless a third user owns it or it has other links.

    A captured platform could create a link here to a file that it does not own.
    """
    if path.is_symlink() or path.is_socket():
        return
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        is_only_here = stat.S_ISDIR(status.st_mode) or status.st_nlink == 1
        if status.st_uid != user and status.st_uid in known and is_only_here:
            os.fchown(descriptor, user, user)
    finally:
        os.close(descriptor)
