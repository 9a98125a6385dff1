"""Ed25519 (RFC 8032), which the API calls Curve25519."""

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from keystead.algorithms._algorithm import (
    Algorithm,
    CertificateSigner,
    PrivateKey,
    PrivateParts,
    PublicParts,
    holds,
    pkcs8_pem,
    require_data,
    signature_rows,
    spki_pem,
)
from keystead.model.keys import PrivateMaterial

SEED_BYTES = 32


class Ed25519Key(PrivateKey):
    """An Ed25519 key."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self.algorithm: Algorithm = CURVE25519
        self._key = key

    def material(self) -> PrivateMaterial:
        """Return the key as PKCS#8 PEM (RFC 8410)."""
        return PrivateMaterial(pem=pkcs8_pem(self._key))

    def public(self) -> PublicParts:
        """Return the public key's 32 bytes."""
        return PublicParts(data=self._key.public_key().public_bytes_raw())

    def public_pem(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo PEM."""
        return spki_pem(self._key.public_key())

    def certificate_signer(self) -> CertificateSigner:
        """Sign without a digest (RFC 8410, 3)."""
        return CertificateSigner(self._key, None)

    def sign(self, message: bytes) -> bytes:
        """Sign the message itself, of any length; the signature has 64 bytes."""
        return self._key.sign(message)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of this message by this key."""
        return holds(self._key.public_key().verify, signature, message)


class _Curve25519:
    """The row of Ed25519."""

    name = "Curve25519"
    generates_slowly = False
    needs_length = False
    mechanisms = signature_rows(
        "EdDSA_Signature", "EdDSA", sign=Ed25519Key.sign, verify=Ed25519Key.verify
    )

    def generate(self, length: int | None) -> Ed25519Key:  # noqa: ARG002  there is one length
        """Make a new key."""
        return Ed25519Key(ed25519.Ed25519PrivateKey.generate())

    def from_parts(self, parts: PrivateParts) -> Ed25519Key:
        """Make a key of its 32-byte seed; every seed is one."""
        seed = require_data(self, parts, SEED_BYTES)
        return Ed25519Key(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    def adopt(self, parsed: PrivateKeyTypes) -> Ed25519Key | None:
        """Wrap a parsed Ed25519 key."""
        return Ed25519Key(parsed) if isinstance(parsed, ed25519.Ed25519PrivateKey) else None


CURVE25519 = _Curve25519()
