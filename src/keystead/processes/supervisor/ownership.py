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
    owner of a file cannot be changed, or the directory is a third user's and closed to that user.
    """
    if os.geteuid() != 0:
        return None
    own = sandbox.own_user("platform")
    user = own if own is not None and _may(own, os.F_OK, directory) else None
    try:
        _give(directory, os.geteuid() if user is None else user)
    except OSError as error:
        raise StartRefused(f"The data directory {directory}: {error.strerror}.") from error
    owner = directory.stat().st_uid
    if user is not None and user != owner and not _may(user, os.W_OK | os.X_OK, directory):
        raise StartRefused(
            f"The data directory {directory} belongs to user {owner}, and user {user}, which the "
            "platform runs as, cannot write to it. Give it to root: chown -R 0."
        )
    return user


def _may(user: int, what: int, directory: Path) -> bool:
    """Return whether this user, in no group but its own, may do with the directory what is asked.

    False also if the user cannot reach it through its parents.
    """
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(user)
    os.seteuid(user)
    try:
        return os.access(directory, what, effective_ids=True)
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
        sandbox.forbid_dumps()


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
