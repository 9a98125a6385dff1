"""What keys on a Weierstrass curve have in common, whoever signs with them."""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.algorithms._algorithm import (
    Algorithm,
    PrivateKey,
    PublicParts,
    pkcs8_pem,
    spki_pem,
)
from keystead.algorithms._key_agreement import agree_on_curve
from keystead.algorithms._uses import Kdf
from keystead.model.keys import PrivateMaterial


class PointKey(PrivateKey):
    """A key whose public half is a point of a curve."""

    def __init__(self, algorithm: Algorithm, key: ec.EllipticCurvePrivateKey) -> None:
        self.algorithm = algorithm
        self._key = key

    def material(self) -> PrivateMaterial:
        """Return the key as PKCS#8 PEM."""
        return PrivateMaterial(pem=pkcs8_pem(self._key))

    def public(self) -> PublicParts:
        """Return the point, uncompressed."""
        return PublicParts(
            data=self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        )

    def public_pem(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo PEM."""
        return spki_pem(self._key.public_key())

    def derive(self, public_key: bytes, kdf: Kdf | None = None) -> bytes:
        """Return the secret with the other party, or what `kdf` makes of it."""
        return agree_on_curve(self._key, public_key, kdf)
