"""The seal of a backup: its last record, sealed under the domain key, over the set of all others.

Each record of a backup opens at its own path and nowhere else, but that says nothing of the set.
With the backup passphrase alone, a record can be left out, or taken from another backup of the same
HSM: a namespace without its record no longer protects its keys, and a deleted user comes back. The
seal is a record that only a holder of the domain key can make:

    /backup-seal    the number of records and a digest of them all, sealed under the domain key

To other software it is a record like any other. A NetHSM keeps it and writes it into its own
backups; there it is not the last record, and so says nothing.
"""

import hashlib
import hmac
from typing import Final

import msgspec

from keystead.errors import DecryptionFailed, InvalidInput
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.domain_key import StoreLabel, brief_store_key

SEAL_PATH: Final = "/backup-seal"
"""Not the last one in byte order, which is how a NetHSM writes its records."""
_COUNT_BYTES: Final = 8
_SUMMARY_BYTES: Final = _COUNT_BYTES + 32


class RecordSet:
    """The records of one backup in their order, as a number and a SHA-256 digest."""

    def __init__(self, *, locked_domain_key: bytes, device_id: str | None) -> None:
        """Begin a set that belongs to this wrapped domain key and to the device that made it."""
        self._count = 0
        self._digest = hashlib.sha256()
        self._feed(locked_domain_key)
        self._feed((device_id or "").encode())

    def add(self, path: str, value: bytes) -> None:
        """Add the next record, with its value as in the store."""
        self._count += 1
        self._feed(path.encode())
        self._feed(value)

    def summary(self) -> bytes:
        """Return the content of the seal: number and digest of the records so far."""
        return self._count.to_bytes(_COUNT_BYTES) + self._digest.digest()

    def _feed(self, part: bytes) -> None:
        self._digest.update(len(part).to_bytes(_COUNT_BYTES))
        self._digest.update(part)


def seal_of(summary: bytes, domain_key: Secret) -> bytes:
    """Return the value of the record at SEAL_PATH."""
    with brief_store_key(domain_key, StoreLabel.BACKUPS) as key:
        return envelope.seal(key, SEAL_PATH, summary)


class SealedSet(msgspec.Struct, frozen=True):
    """The summary of the records in a file, and the seal at its end."""

    summary: bytes
    seal: bytes

    def require_intact(self, domain_key: Secret) -> None:
        """Raise InvalidInput unless the seal was made under `domain_key` for these records."""
        with brief_store_key(domain_key, StoreLabel.BACKUPS) as key:
            try:
                sealed = envelope.unseal(key, SEAL_PATH, self.seal)
            except DecryptionFailed:
                sealed = b""
        if not hmac.compare_digest(sealed, self.summary):
            raise InvalidInput("The records of the backup are not those that it was sealed with.")

    def encode(self) -> bytes:
        """Return it as bytes, for `decode`."""
        return self.summary + self.seal

    @classmethod
    def decode(cls, stored: bytes) -> "SealedSet":
        """Return what was encoded."""
        return cls(stored[:_SUMMARY_BYTES], stored[_SUMMARY_BYTES:])
