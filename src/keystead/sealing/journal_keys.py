"""The keys of the journal: one signs its checkpoints, the other seals its records in the store."""

import os
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.model.secret import Secret
from keystead.sealing import envelope

_SEED_BYTES: Final = 32
JOURNAL_KEYS_BYTES: Final = _SEED_BYTES + envelope.KEY_BYTES


class JournalKeys:
    """The keys of one journal. They exist in memory while the HSM is unlocked."""

    def __init__(self, stored: Secret) -> None:
        """Take the keys from `stored`: the Ed25519 seed, and the sealing key."""
        self.stored: Final = stored
        seed = Secret(stored.reveal()[:_SEED_BYTES])
        self._private: Final = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        seed.wipe()
        self._seal_key: Final = Secret(stored.reveal()[_SEED_BYTES:])
        public = self._private.public_key()
        self.public_raw: Final = public.public_bytes_raw()
        """The 32 bytes of the public key (RFC 8032)."""
        self.public_pem: Final = public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    @classmethod
    def new(cls) -> Self:
        """Return the keys of a new journal."""
        return cls(Secret(os.urandom(JOURNAL_KEYS_BYTES)))

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of `message`."""
        return self._private.sign(message)

    def seal(self, path: str, plaintext: bytes) -> bytes:
        """Return `plaintext` sealed for the record at `path`."""
        return envelope.seal_extended(self._seal_key, path, plaintext)

    def open(self, path: str, sealed: bytes) -> bytes:
        """Return the content of the record at `path`.

        Raises DecryptionFailed if it was sealed under other keys or for another path.
        """
        return envelope.unseal_any(self._seal_key, path, sealed)

    def wipe(self) -> None:
        """Overwrite the secrets."""
        self.stored.wipe()
        self._seal_key.wipe()
