"""File operations that are on the disk when they return."""

import os
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".new"
"""At the end of the name of a file that `create` has not finished."""

_OVERWRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def unfinished(path: Path) -> Path:
    """Return where `create` writes what will be at `path`."""
    return path.with_name(path.name + UNFINISHED)


def sync_directory(directory: Path) -> None:
    """Make creations, renames and removals in `directory` durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path, content: bytes) -> None:
    """Put a file of mode 0600 at `path`, whole or not at all. Raises OSError.

    An unfinished one of an earlier crash is replaced; the caller knows that `path` is free. Made
    by root, it belongs to whom its directory belongs to.
    """
    staged = unfinished(path)
    staged.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(staged, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        owner = path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    staged.rename(path)
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def overwrite(path: Path) -> None:
    """Overwrite a file with zeros, if it is there. Raises OSError.

    Flash and copy-on-write file systems may keep old blocks; what must stay secret even then
    belongs on an encrypted disk, or under a TPM.
    """
    try:
        try:
            descriptor = os.open(path, _OVERWRITE)
        except PermissionError:
            path.chmod(0o600)
            descriptor = os.open(path, _OVERWRITE)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(bytes(os.fstat(descriptor).st_size))
        os.fsync(descriptor)


def destroy(path: Path) -> None:
    """Overwrite a file, then remove it, if it is there. Raises OSError."""
    overwrite(path)
    remove(path)
