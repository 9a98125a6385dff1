"""The device key sealed under a credential that the service manager hands to the service.

The credential encrypts the device key and is not the device key itself. So a factory reset can
destroy the device key, and a new device key needs no new credential.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keystead.errors import DecryptionFailed, StartRefused
from keystead.model.secret import Secret
from keystead.sealing import envelope

_HEADER: Final = b"keystead device key, credential, 1\n"
_PURPOSE: Final = "device-key"


class UnderCredential:
    """Provider `credential`: AES-256-GCM under the 32 bytes of a systemd credential.

    An attacker with the data directory needs the credential too. systemd protects it with the TPM,
    with /var/lib/systemd/credential.secret, or with both.
    """

    name: Final = "credential"

    def __init__(self, directory: Path | None, credential: str) -> None:
        """`directory` is $CREDENTIALS_DIRECTORY, or None if it is not set."""
        self._directory = directory
        self._credential = credential

    def seal(self, key: Secret) -> bytes:
        """Return the key sealed under the credential. Raises StartRefused if it is missing."""
        return _HEADER + envelope.seal(self._around(), _PURPOSE, key.reveal())

    def unseal(self, sealed: bytes) -> Secret:
        """Return the key. Raises StartRefused if the credential is missing or another one."""
        if not sealed.startswith(_HEADER):
            raise StartRefused("it is not one that this software made, or it is of a newer format.")
        try:
            return Secret(envelope.unseal(self._around(), _PURPOSE, sealed[len(_HEADER) :]))
        except DecryptionFailed:
            raise StartRefused(
                f"the credential {self._credential} is not the one it was sealed under, "
                "or the file is damaged."
            ) from None

    def revoke_older(self, _sealed: bytes) -> None:
        """Do nothing: a copy of the file opens as long as the credential exists."""

    def is_for_older_images(self, _sealed: bytes) -> bool:
        """Return False, because every image that has the credential opens the key."""
        return False

    def describe(self, _sealed: bytes) -> Sequence[str]:
        """Return the name and directory of the credential, as a line for people."""
        return [f"credential: {self._credential} in {self._directory or 'no directory'}"]

    def survey(self) -> Sequence[str]:
        """Return the same line. It does not depend on a sealed key."""
        return self.describe(b"")

    def _around(self) -> Secret:
        """Return the credential's 32 bytes."""
        if self._directory is None:
            raise StartRefused(
                f"there is no credential {self._credential}: $CREDENTIALS_DIRECTORY is not set. "
                "Start Keystead by systemd, with LoadCredentialEncrypted= in its unit."
            )
        path = self._directory / self._credential
        try:
            return Secret(_read(path))
        except FileNotFoundError:
            raise StartRefused(
                f"the credential {path} is missing. To make one: head -c {envelope.KEY_BYTES} "
                f"/dev/urandom | systemd-creds encrypt --name={self._credential} - "
                f"/etc/credstore.encrypted/{self._credential}, and in the unit "
                f"LoadCredentialEncrypted={self._credential}."
            ) from None
        except OSError as error:
            raise StartRefused(f"the credential {path}: {error.strerror}.") from error


def _read(path: Path) -> bytes:
    """Return the 32 bytes in the file. StartRefused, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StartRefused(f"the credential {path} is not a regular file.")
        # systemd may give the service's user access by an ACL, which shows in the group's bits.
        if status.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise StartRefused(
                f"the credential {path} is open to other users: "
                f"mode {stat.S_IMODE(status.st_mode):04o}, not 0400."
            )
        content = file.read(envelope.KEY_BYTES + 1)
    if len(content) != envelope.KEY_BYTES:
        raise StartRefused(
            f"the credential {path} has {status.st_size} bytes, "
            f"not {envelope.KEY_BYTES} random ones."
        )
    return content
