"""ECDSA (FIPS 186-5) and ECDH (SP 800-56A) on the NIST curves and on Brainpool's (RFC 5639).

There is one row for each curve.
"""

from functools import cached_property

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from keystead.algorithms._algorithm import (
    CertificateSigner,
    PrivateParts,
    holds,
    require_scalar,
    signature_rows,
)
from keystead.algorithms._key_agreement import agreement_row
from keystead.algorithms._point_keys import PointKey
from keystead.errors import InvalidInput


class EcdsaKey(PointKey):
    """A key on one of the curves of this module."""

    def __init__(self, algorithm: "Curve", key: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(algorithm, key)
        self.works_slowly = algorithm.works_slowly
        self._digest = algorithm.digest
        self._digest_bytes = algorithm.digest.digest_size
        self._scheme = algorithm.scheme

    def certificate_signer(self) -> CertificateSigner:
        """Sign with the hash of the curve."""
        return CertificateSigner(self._key, self._digest)

    def sign(self, message: bytes) -> bytes:
        """Sign a digest of the curve's hash; the signature is DER (RFC 3279, 2.2.3)."""
        self._require_digest(message)
        return self._key.sign(message, self._scheme)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of this digest by this key."""
        self._require_digest(message)
        return holds(self._key.public_key().verify, signature, message, self._scheme)

    def _require_digest(self, message: bytes) -> None:
        if len(message) != self._digest_bytes:
            raise InvalidInput(
                f"{self.algorithm.name} keys sign a digest of {self._digest_bytes} bytes, "
                f"not {len(message)}."
            )


class Curve(msgspec.Struct, frozen=True, dict=True):
    """A curve and the hash whose digests it signs: the longest one that is not cut off.

    P-521 signs digests of SHA-512.
    """

    name: str
    curve: ec.EllipticCurve
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512
    works_slowly: bool = False

    mechanisms = (
        *signature_rows("ECDSA_Signature", "ECDSA", sign=EcdsaKey.sign, verify=EcdsaKey.verify),
        agreement_row(EcdsaKey.derive, works_slowly=True),
    )
    stores_public = False

    @cached_property
    def scheme(self) -> ec.ECDSA:
        """ECDSA over a digest. All keys of the curve share this object."""
        return ec.ECDSA(Prehashed(self.digest))

    @property
    def generates_slowly(self) -> bool:
        """A new key is tested, with a signature."""
        return self.works_slowly

    def generate(self, length: int | None) -> EcdsaKey:  # noqa: ARG002  the curve says the length
        """Make a new key."""
        return EcdsaKey(self, ec.generate_private_key(self.curve))

    def from_parts(self, parts: PrivateParts) -> EcdsaKey:
        """Make a key of its scalar: big-endian, as long as the curve's order."""
        scalar = require_scalar(self, parts, (self.curve.key_size + 7) // 8)
        try:
            return EcdsaKey(self, ec.derive_private_key(scalar, self.curve))
        except ValueError:
            raise InvalidInput("The scalar is not between 1 and the order of the curve.") from None

    def adopt(self, parsed: PrivateKeyTypes) -> EcdsaKey | None:
        """Wrap a parsed key if it is on this curve."""
        if not isinstance(parsed, ec.EllipticCurvePrivateKey):
            return None
        return EcdsaKey(self, parsed) if parsed.curve.name == self.curve.name else None


EC_P256 = Curve("EC_P256", ec.SECP256R1(), hashes.SHA256())
EC_P384 = Curve("EC_P384", ec.SECP384R1(), hashes.SHA384())
EC_P521 = Curve("EC_P521", ec.SECP521R1(), hashes.SHA512())
# OpenSSL has no code of its own for these curves: a signature takes as long as one of RSA-2048.
BRAINPOOL_P256 = Curve("BrainpoolP256", ec.BrainpoolP256R1(), hashes.SHA256(), works_slowly=True)
BRAINPOOL_P384 = Curve("BrainpoolP384", ec.BrainpoolP384R1(), hashes.SHA384(), works_slowly=True)
BRAINPOOL_P512 = Curve("BrainpoolP512", ec.BrainpoolP512R1(), hashes.SHA512(), works_slowly=True)
