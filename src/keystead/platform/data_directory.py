"""The data directory. One process uses it at a time, and a factory reset erases it.

keystead.lock    locked while in use; its presence marks the directory as Keystead's
keystead.db      the records, with SQLite's companions
device.key…      the device key, as its provider keeps it: see `device_key`
unattended.key   what unattended boot needs beside the database: see `unattended_key`
update/          update images, one staged and one arriving
etcd/            the member of a cluster, which holds the shared records
etcd.joining/    the same, while it joins: see `joining`
reset.pending    a factory reset was begun and must be finished before anything else
"""

import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from keystead.errors import StartRefused
from keystead.platform import durable, own_files
from keystead.platform.device_key import (
    PROVIDER_NAMES,
    DeviceKey,
    DeviceKeyProvider,
    destroy,
    files_of,
)
from keystead.platform.unattended_key import UnattendedKeyFile
from keystead.platform.update_slot import UpdateSlot

_LOCK = "keystead.lock"
_DATABASE = "keystead.db"
_DATABASE_COMPANIONS = ("-wal", "-shm", "-journal", "-reserve", ".new")
_UPDATE = "update"
_ETCD = "etcd"
_JOINING = "etcd.joining"
_RESET = "reset.pending"

_NOT_FOREIGN = frozenset({"lost+found"})
"""The content of an empty file system."""


class DataDirectory:
    """A locked data directory. The lock ends with `close`, or with the process."""

    def __init__(self, path: Path, lock: int) -> None:
        """`lock` is the open, locked file; use `open`."""
        self.path = path
        self._lock = lock
        self.were_open: Sequence[str] = ()
        """Own files that `open` found accessible to others and made private."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Lock the directory at `path`; create it (mode 0700) when it is missing.

        An interrupted factory reset is finished before this returns. Raises StartRefused, and
        touches nothing, if the directory is in use, has other content, or cannot be accessed.
        """
        try:
            _claim(path)
            directory = cls(path, _take_lock(path / _LOCK))
            directory.were_open = own_files.close_again(path, keep=_keys(path))
        except OSError as error:
            raise StartRefused(f"The data directory {path}: {error.strerror}.") from error
        try:
            directory._finish_reset()
        except OSError as error:
            directory.close()
            raise StartRefused(
                f"The factory reset of {path} cannot be finished: {error.strerror}."
            ) from error
        return directory

    @property
    def owner_elsewhere(self) -> int | None:
        """The user that the directory itself belongs to, if it is not ours."""
        owner = self.path.stat().st_uid
        return None if owner in own_files.owners(self.path) else owner

    @property
    def database(self) -> Path:
        """Where the records are."""
        return self.path / _DATABASE

    @property
    def etcd(self) -> Path:
        """Where the member of a cluster is, if this HSM is one."""
        return self.path / _ETCD

    @property
    def joining(self) -> Path:
        """Where the member is as long as it joins a cluster."""
        return self.path / _JOINING

    def device_key(self, provider: DeviceKeyProvider) -> DeviceKey:
        """Return the device key here, as `provider` keeps it."""
        return DeviceKey(self.path, provider)

    @property
    def unattended_key(self) -> UnattendedKeyFile:
        """Where the unattended key is kept."""
        return UnattendedKeyFile(self.path)

    def update_slot(self, *, has_installer: bool = False) -> UpdateSlot:
        """Return where update images are kept. With `has_installer`, process 1 installs them."""
        return UpdateSlot(self.path / _UPDATE, has_installer=has_installer)

    def begin_reset(self) -> None:
        """Mark all records to be erased by `reset`, or else at the next `open`.

        Raises OSError if that fails. Then the reset has not begun.
        """
        if not self.is_reset_begun:
            durable.create(self._reset_mark, b"")

    @property
    def is_reset_begun(self) -> bool:
        """Whether all records are marked to be erased."""
        return self._reset_mark.exists()

    def reset(self) -> None:
        """Erase everything now. The store must be closed. After an OSError, `open` finishes it."""
        self.begin_reset()
        self._finish_reset()

    def fileno(self) -> int:
        """Return the descriptor of the lock. A process that inherits it holds the lock too."""
        return self._lock

    def close(self) -> None:
        """Let another process use the directory."""
        os.close(self._lock)

    @property
    def _reset_mark(self) -> Path:
        return self.path / _RESET

    def _finish_reset(self) -> None:
        if not self.is_reset_begun:
            return
        # The device key is destroyed first: without it, no record opens, even after a crash.
        for provider in PROVIDER_NAMES:
            destroy(self.path, provider)
        self.unattended_key.destroy()
        for suffix in ("", *_DATABASE_COMPANIONS):
            durable.remove(self.path / (_DATABASE + suffix))
        self.update_slot().clear()
        durable.remove_tree(self.etcd)
        durable.remove_tree(self.joining)
        durable.remove(self._reset_mark)


def _claim(path: Path) -> None:
    """Make sure that there is a directory which is ours, or may become so."""
    if not path.exists():
        path.mkdir(mode=stat.S_IRWXU)
        durable.sync_directory(path.parent)
        return
    if not path.is_dir():
        raise StartRefused(f"The data directory {path} is not a directory.")
    contents = {entry.name for entry in path.iterdir()} - _NOT_FOREIGN
    if contents and not contents & {_LOCK, _DATABASE}:
        raise StartRefused(
            f"The data directory {path} holds something other than Keystead's data. "
            "Use an empty one, or one that does not exist yet."
        )


def _keys(path: Path) -> list[Path]:
    return [file for provider in PROVIDER_NAMES for file in files_of(path, provider)]


def _take_lock(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode(errors="replace").strip()
        os.close(lock)
        raise StartRefused(
            f"The data directory {path.parent} is in use by another keystead (pid {holder})."
        ) from None
    # Over what is there, as a full disk allows.
    os.pwrite(lock, f"{os.getpid():<16}\n".encode(), 0)
    return lock


def free_bytes(path: Path) -> int | None:
    """Return the bytes that the disk with the directory can still take, or None after an error."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
