"""X25519 and X448 (RFC 7748): keys that agree on a secret with another party, and do not sign."""

import msgspec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from keystead.algorithms._algorithm import (
    PrivateParts,
    RawKey,
    require_data,
)
from keystead.algorithms._key_agreement import agree_by_montgomery, agreement_row
from keystead.algorithms._uses import Kdf


class MontgomeryKey(RawKey[X25519PrivateKey | X448PrivateKey]):
    """A key of X25519 or X448."""

    def derive(self, public_key: bytes, kdf: Kdf | None = None) -> bytes:
        """Return the secret with the other party, or what `kdf` makes of it."""
        return agree_by_montgomery(self._key, public_key, kdf)


class Function(msgspec.Struct, frozen=True):
    """One of the two functions of RFC 7748."""

    name: str
    kind: type[X25519PrivateKey] | type[X448PrivateKey]
    size: int
    """Of a private key, in bytes."""
    stores_public: bool

    mechanisms = (agreement_row(MontgomeryKey.derive),)
    generates_slowly = False

    def generate(self, length: int | None) -> MontgomeryKey:  # noqa: ARG002  there is one length
        """Make a new key."""
        return MontgomeryKey(self, self.kind.generate())

    def from_parts(self, parts: PrivateParts) -> MontgomeryKey:
        """Make a key of its bytes; any are one."""
        return MontgomeryKey(
            self, self.kind.from_private_bytes(require_data(self, parts, self.size))
        )

    def adopt(self, parsed: PrivateKeyTypes) -> MontgomeryKey | None:
        """Wrap a parsed key if it is for this function."""
        return MontgomeryKey(self, parsed) if isinstance(parsed, self.kind) else None


X25519 = Function("X25519", X25519PrivateKey, 32, stores_public=False)
X448 = Function("X448", X448PrivateKey, 56, stores_public=True)
