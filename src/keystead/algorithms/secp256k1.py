"""secp256k1 (SEC 2): ECDSA and BIP-340's Schnorr signatures by libsecp256k1, ECDH by OpenSSL."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from keystead.algorithms._algorithm import (
    CertificateSigner,
    PrivateParts,
    require_scalar,
    signature_rows,
)
from keystead.algorithms._key_agreement import agreement_row
from keystead.algorithms._libsecp256k1 import SCALAR_BYTES, Signer, require_digest
from keystead.algorithms._point_keys import PointKey
from keystead.errors import InvalidInput


class Secp256k1Key(PointKey):
    """A key on secp256k1: libsecp256k1 signs (12 times as fast), OpenSSL reads and writes it."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(EC_P256K1, key)
        self._signer = Signer(key.private_numbers().private_value.to_bytes(SCALAR_BYTES))

    def certificate_signer(self) -> CertificateSigner:
        """Sign with ECDSA and SHA-256."""
        return CertificateSigner(self._key, hashes.SHA256())

    def sign_ecdsa(self, message: bytes) -> bytes:
        """Sign a digest of 32 bytes; the signature is DER with a low s (BIP 146)."""
        require_digest(self.algorithm, message)
        return self._signer.sign_ecdsa(message)

    def verify_ecdsa(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature`, in DER, is one of this digest; a high s is one as well."""
        require_digest(self.algorithm, message)
        return self._signer.public.verify_ecdsa(message, signature)

    def sign_bip340(self, message: bytes) -> bytes:
        """Sign a message of any length; the signature has the 64 bytes of BIP-340."""
        return self._signer.sign_bip340(message)

    def verify_bip340(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of this message by BIP-340."""
        return self._signer.public.verify_bip340(message, signature)


class _Secp256k1:
    """The row of secp256k1."""

    name = "EC_P256K1"
    generates_slowly = False
    stores_public = False
    mechanisms = (
        *signature_rows(
            "ECDSA_Signature",
            "ECDSA",
            sign=Secp256k1Key.sign_ecdsa,
            verify=Secp256k1Key.verify_ecdsa,
        ),
        *signature_rows(
            "BIP340_Signature",
            "BIP340",
            sign=Secp256k1Key.sign_bip340,
            verify=Secp256k1Key.verify_bip340,
        ),
        agreement_row(Secp256k1Key.derive, works_slowly=True),
    )

    def generate(self, length: int | None) -> Secp256k1Key:  # noqa: ARG002  there is one length
        """Make a new key."""
        return Secp256k1Key(ec.generate_private_key(ec.SECP256K1()))

    def from_parts(self, parts: PrivateParts) -> Secp256k1Key:
        """Make a key of its scalar: 32 bytes, big-endian."""
        scalar = require_scalar(self, parts, SCALAR_BYTES)
        try:
            key = ec.derive_private_key(scalar, ec.SECP256K1())
        except ValueError:
            raise InvalidInput("The scalar is not between 1 and the order of the curve.") from None
        return Secp256k1Key(key)

    def adopt(self, parsed: PrivateKeyTypes) -> Secp256k1Key | None:
        """Wrap a parsed key if it is on this curve."""
        if not isinstance(parsed, ec.EllipticCurvePrivateKey):
            return None
        return Secp256k1Key(parsed) if isinstance(parsed.curve, ec.SECP256K1) else None


EC_P256K1 = _Secp256k1()
