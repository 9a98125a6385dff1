"""The files of update images: one that is complete, and one that is arriving.

update/staged.image     complete, signed as a whole; it outlives restarts
update/arriving.image   of an upload under way; what a crash left of one is removed
update/committed        in the appliance: process 1 installs the staged image at the next restart
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from keystead.errors import Overloaded, WrongState
from keystead.platform import durable

RESERVE_BYTES: Final = 256 * 1024 * 1024
"""The disk space that an image must leave free for records."""

_STAGED: Final = "staged.image"
_ARRIVING: Final = "arriving.image"
_COMMITTED: Final = "committed"


class UpdateSlot:
    """The slot in a directory. Every method may wait for the disk, and raises OSError."""

    def __init__(self, directory: Path, *, has_installer: bool = False) -> None:
        """`directory` is made when an image comes.

        With `has_installer`, process 1 calls `take_committed` when the machine restarts.
        """
        self._directory = directory
        self._has_installer = has_installer
        self._arriving: BinaryIO | None = None

    def clean(self) -> None:
        """Remove what an upload left that did not end; the staged image stays."""
        self.abandon()
        if self._directory.exists():
            durable.remove(self._directory / _ARRIVING)

    def clear(self) -> None:
        """Remove everything."""
        self.clean()
        if self._directory.exists():
            durable.remove(self._directory / _COMMITTED)
            durable.remove(self._directory / _STAGED)

    def begin(self, size: int) -> None:
        """Begin an image of at most `size` bytes. Raises Overloaded if the disk has no space."""
        self.clean()
        if not self._directory.exists():
            self._directory.mkdir(mode=stat.S_IRWXU)
            durable.sync_directory(self._directory.parent)
        disk = os.statvfs(self._directory)
        if disk.f_bavail * disk.f_frsize < size + RESERVE_BYTES:
            raise Overloaded("There is no room on the disk for the update image.")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._directory / _ARRIVING, flags, 0o600)
        self._arriving = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append to the arriving image, which the caller has verified so far."""
        if self._arriving is None:
            raise WrongState("No update image is being uploaded.")
        view = memoryview(data)
        while view:
            view = view[self._arriving.write(view) :]
        # A flood of unwritten pages would hold up the next commit of records.
        os.fdatasync(self._arriving.fileno())

    def keep(self) -> None:
        """Stage what arrived, in the place of what was staged before. It is not committed yet."""
        if self._arriving is None:
            raise WrongState("No update image is being uploaded.")
        os.fsync(self._arriving.fileno())
        self._close()
        durable.remove(self._directory / _COMMITTED)
        (self._directory / _ARRIVING).rename(self._directory / _STAGED)
        durable.sync_directory(self._directory)

    def abandon(self) -> None:
        """Drop what arrived, if something did."""
        if self._arriving is not None:
            self._close()
            durable.remove(self._directory / _ARRIVING)

    def cancel(self) -> None:
        """Remove the staged image. Raises WrongState if there is none."""
        self._require_staged()
        durable.remove(self._directory / _COMMITTED)
        durable.remove(self._directory / _STAGED)
        if self._arriving is None:
            self.clean()

    def commit(self) -> None:
        """Have the staged image installed at the next restart of the machine.

        Raises WrongState if there is none, or if nothing here installs images.
        """
        self._require_staged()
        if not self._has_installer:
            raise WrongState(
                "This installation cannot replace its own software: update it as it was "
                "installed, with the system's package manager, in its source tree with git pull "
                "and make, or, if it is an appliance, with a new boot image."
            )
        mark = self._directory / _COMMITTED
        if not mark.exists():
            durable.create(mark, b"")

    def take_committed(self) -> Path | None:
        """Return where the image is that was committed, or None. Asked again, return None."""
        mark, staged = self._directory / _COMMITTED, self._directory / _STAGED
        if not os.path.lexists(mark):
            return None
        durable.remove(mark)
        return staged if os.path.lexists(staged) else None

    def _require_staged(self) -> None:
        if not (self._directory / _STAGED).exists():
            raise WrongState("No update image is staged; upload one first.")

    def _close(self) -> None:
        if self._arriving is not None:
            self._arriving.close()
            self._arriving = None
