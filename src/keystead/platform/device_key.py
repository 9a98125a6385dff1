"""The device key in a file of the data directory: the embedded default."""

import os
import stat
from pathlib import Path

from keystead.errors import StartRefused
from keystead.model.secret import Secret
from keystead.platform import durable
from keystead.sealing.device import DEVICE_KEY_BYTES, new_device_key


class FileDeviceKey:
    """32 bytes in a file that only its owner may read.

    Whoever has the file and the database has what the attended slot leaves to the unlock
    passphrase, and all of it where unattended boot is on.
    """

    def __init__(self, path: Path) -> None:
        """`path` is where the key is, or will be."""
        self._path = path

    def obtain(self, *, store_holds_records: bool) -> Secret:
        """Return the key; make it first if there is none and nothing was sealed under one yet.

        StartRefused when it is missing although the store holds records, or is not a key that
        this software made; nothing is overwritten.
        """
        try:
            if os.path.lexists(self._path):
                return self._read()
            if store_holds_records:
                raise StartRefused(
                    f"The device key {self._path} is missing, and the store holds records sealed "
                    "under it. Put the file back, or use another data directory."
                )
            return self._create()
        except OSError as error:
            raise StartRefused(f"The device key {self._path}: {error.strerror}.") from error

    def destroy(self) -> None:
        """Overwrite and remove the key, so that nothing sealed under it opens again.

        Does nothing when there is none. Raises OSError.
        """
        durable.destroy(self._path.with_name(self._path.name + ".new"))
        durable.destroy(self._path)

    def _read(self) -> Secret:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise StartRefused(f"The device key {self._path} is not a regular file.")
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise StartRefused(
                    f"The device key {self._path} is open to other users: "
                    f"mode {stat.S_IMODE(status.st_mode):04o}, not 0600."
                )
            key = file.read(DEVICE_KEY_BYTES + 1)
        if len(key) != DEVICE_KEY_BYTES:
            raise StartRefused(
                f"The device key {self._path} has {status.st_size} bytes, not {DEVICE_KEY_BYTES}."
            )
        return Secret(key)

    def _create(self) -> Secret:
        key = new_device_key()
        durable.create(self._path, key.reveal())
        return key
