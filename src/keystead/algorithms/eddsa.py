"""EdDSA (RFC 8032): Ed25519, which the API calls Curve25519, and Ed448; one row a curve."""

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from keystead.algorithms._algorithm import (
    CertificateSigner,
    PrivateParts,
    RawKey,
    holds,
    require_data,
    signature_rows,
)


class EddsaKey(RawKey[Ed25519PrivateKey | Ed448PrivateKey]):
    """A key on one of the curves of this module."""

    def certificate_signer(self) -> CertificateSigner:
        """Sign without a digest (RFC 8410, 3)."""
        return CertificateSigner(self._key, None)

    def sign(self, message: bytes) -> bytes:
        """Sign the message itself, of any length; the signature has 64 or 114 bytes.

        Ed448 signs with an empty context.
        """
        return self._key.sign(message)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of this message by this key."""
        return holds(self._key.public_key().verify, signature, message)


class Curve(msgspec.Struct, frozen=True):
    """A curve, by the library's class of its keys and the length of their seeds."""

    name: str
    kind: type[Ed25519PrivateKey | Ed448PrivateKey]
    seed_bytes: int
    stores_public: bool

    mechanisms = signature_rows(
        "EdDSA_Signature", "EdDSA", sign=EddsaKey.sign, verify=EddsaKey.verify
    )
    generates_slowly = False

    def generate(self, length: int | None) -> EddsaKey:  # noqa: ARG002  the curve says the length
        """Make a new key."""
        return EddsaKey(self, self.kind.generate())

    def from_parts(self, parts: PrivateParts) -> EddsaKey:
        """Make a key of its seed; every seed is one."""
        seed = require_data(self, parts, self.seed_bytes)
        return EddsaKey(self, self.kind.from_private_bytes(seed))

    def adopt(self, parsed: PrivateKeyTypes) -> EddsaKey | None:
        """Wrap a parsed key if it is on this curve."""
        return EddsaKey(self, parsed) if isinstance(parsed, self.kind) else None


CURVE25519 = Curve("Curve25519", Ed25519PrivateKey, 32, stores_public=False)
ED448 = Curve("Ed448", Ed448PrivateKey, 57, stores_public=True)
