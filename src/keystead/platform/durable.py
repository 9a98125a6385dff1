"""File operations that are on the disk when they return."""

import os
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".new"
"""The suffix of a file that `create` has not finished."""

_OVERWRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def unfinished(path: Path) -> Path:
    """Return the path of the unfinished file that `create` renames to `path`."""
    return path.with_name(path.name + UNFINISHED)


def sync_directory(directory: Path) -> None:
    """Make creations, renames and removals in `directory` durable.

    Raises OSError if the directory cannot be opened, or the disk does not take them.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path, content: bytes) -> None:
    """Create a file of mode 0600 at `path`, whole or not at all.

    The caller knows that `path` is free. An unfinished file from an earlier crash is replaced. The
    file gets the owner of its directory, which matters only if this process runs as root. Raises
    OSError if the disk refuses it.
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
    """Remove a file, if it exists. Raises OSError if it cannot be removed."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it, if it exists.

    Raises OSError if a part of it cannot be removed.
    """
    if directory.exists():
        remove_all(directory)
        sync_directory(directory.parent)


def remove_all(directory: Path | str, *, dir_fd: int | None = None) -> None:
    """Remove a directory, in that of `dir_fd` if it is given, with all that is in it.

    Links are removed, not followed. Raises OSError if a part of it cannot be removed. `shutil` has
    the same, and would take 0.3 MiB of each process that loads it.
    """
    for _, directories, files, inside in os.fwalk(directory, topdown=False, dir_fd=dir_fd):
        for name in (*directories, *files):
            try:
                os.unlink(name, dir_fd=inside)
            except IsADirectoryError:
                os.rmdir(name, dir_fd=inside)
    os.rmdir(directory, dir_fd=dir_fd)


def overwrite(path: Path) -> None:
    """Overwrite a file with zeros, if it exists. Raises OSError if it cannot be written.

    Flash and copy-on-write file systems may keep old blocks. If the content must stay secret even
    then, use an encrypted disk or a TPM.
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
    """Overwrite a file and then remove it, if it exists.

    Raises OSError if it cannot be written or removed.
    """
    overwrite(path)
    remove(path)
