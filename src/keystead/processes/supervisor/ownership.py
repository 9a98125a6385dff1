"""Whose the data directory is: the platform's own user's, where the supervisor is root."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from keystead.errors import StartRefused
from keystead.processes import sandbox

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def hand_over(directory: Path) -> int | None:
    """Give a data directory, and all in it, to the user that the platform is to run as.

    Returns that user; None when the platform has to stay the user that this process is: no right to
    be another, or the way to the directory is closed to others. Raises StartRefused.
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
    """Return whether the directories on the way let this user pass."""
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
    """Change the owner of everything in `directory`, then its own."""
    known = {os.geteuid(), sandbox.USERS["platform"]}
    for parent, directories, files in os.walk(directory):
        for name in (*files, *directories):
            with contextlib.suppress(FileNotFoundError):
                _give_one(Path(parent, name), user, known)
    _give_one(directory, user, known)


def _give_one(path: Path, user: int, known: set[int]) -> None:
    """Change the owner of a file or directory, unless it is a third one's or lies elsewhere too.

    The platform may write here. Taken over, it could link to a file that is not its own.
    """
    if path.is_symlink():
        return
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        is_only_here = stat.S_ISDIR(status.st_mode) or status.st_nlink == 1
        if status.st_uid != user and status.st_uid in known and is_only_here:
            os.fchown(descriptor, user, user)
    finally:
        os.close(descriptor)
