"""What a key algorithm is to the rest of Keystead: a row that makes keys, and keys that work."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from keystead.errors import InvalidInput
from keystead.model.keys import PrivateMaterial


class Use(Enum):
    """What a mechanism does with a private key; `verb` completes "This key cannot …"."""

    SIGN = "sign"
    DECRYPT = "decrypt"
    ENCRYPT = "encrypt"

    def __init__(self, verb: str) -> None:
        self.verb: Final = verb

    __hash__ = object.__hash__  # There is one of each, and Enum's own hash is slow.


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One thing a key may be allowed to do; `mode` is what a request calls it, unique in a use.

    `takes_iv`: beside a message; for every other mode an IV is ignored.
    """

    name: str
    use: Use
    mode: str
    takes_iv: bool = False


@dataclass(frozen=True, slots=True)
class PrivateParts:
    """A private key that came in as numbers: big-endian, already decoded from base64.

    RSA takes the primes and the public exponent, every other type takes `data`.
    """

    prime_p: bytes | None = field(default=None, repr=False)
    prime_q: bytes | None = field(default=None, repr=False)
    public_exponent: bytes | None = None
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PublicParts:
    """A public key as numbers: RSA's two (big-endian, no leading zeros), or `data`.

    `data` is an uncompressed point (SEC 1, 2.3.3: 04 ‖ x ‖ y) or the 32 bytes of RFC 8032.
    """

    modulus: bytes | None = None
    public_exponent: bytes | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class CertificateSigner:
    """What pyca's X.509 builders need to sign with a key; no digest for EdDSA."""

    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None


class Algorithm(Protocol):
    """A row of the algorithm table: what keys of one type can do, and how to get one."""

    @property
    def name(self) -> str:
        """The key type's name in the API."""
        ...

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """All that keys of this type can be allowed to do."""
        ...

    @property
    def generates_slowly(self) -> bool:
        """Whether `generate` and `from_parts` take longer than an event loop may wait."""
        ...

    @property
    def needs_length(self) -> bool:
        """Whether `generate` needs a length; other types ignore one, as NetHSM does."""
        ...

    def generate(self, length: int | None) -> "PrivateKey":
        """Make a new key of `length` bits; InvalidInput if that is missing or out of range."""
        ...

    def from_parts(self, parts: PrivateParts) -> "PrivateKey":
        """Make a key of untrusted numbers; InvalidInput unless they are a sound key."""
        ...

    def adopt(self, parsed: PrivateKeyTypes) -> "PrivateKey | None":
        """Wrap a parsed key if it is of this type; None if not. Checks its size, not its soundness.

        InvalidInput: the type is this one, the size is out of its range.
        """
        ...


class PrivateKey(ABC):
    """A key that works; safe to use from several threads at once.

    It refuses everything: a key type defines only what it can do.
    """

    algorithm: Algorithm
    works_slowly: bool = False
    """Whether sign and decrypt take longer than an event loop may wait."""

    @abstractmethod
    def material(self) -> PrivateMaterial:
        """Return what storage keeps, and `algorithms.load` reads."""

    def validate(self) -> None:  # noqa: B027  most types are sound as soon as they are parsed
        """Raise InvalidInput unless a key from outside is sound. Slow for RSA."""

    def public(self) -> PublicParts | None:
        """Return the public half as numbers; None if there is none."""
        return None

    def public_pem(self) -> bytes:
        """Return the public half as SubjectPublicKeyInfo (RFC 5280) in PEM."""
        raise InvalidInput(f"{self.algorithm.name} keys have no public key.")

    def certificate_signer(self) -> CertificateSigner:
        """Return what an X.509 builder needs to sign with this key."""
        raise InvalidInput(f"{self.algorithm.name} keys cannot sign a certificate request.")

    def sign(self, mode: str, message: bytes) -> bytes:  # noqa: ARG002  for the types that can
        """Sign what `mode` takes, a digest or a message; InvalidInput says what did not fit."""
        raise self.cannot(Use.SIGN, mode)

    def decrypt(self, mode: str, ciphertext: bytes, iv: bytes | None) -> bytes:  # noqa: ARG002  same
        """Decrypt; DecryptionFailed tells nothing of the cause, InvalidInput what did not fit."""
        raise self.cannot(Use.DECRYPT, mode)

    def encrypt(
        self,
        mode: str,
        message: bytes,  # noqa: ARG002  for the types that can
        iv: bytes | None,  # noqa: ARG002  same
    ) -> tuple[bytes, bytes]:
        """Encrypt, and return ciphertext and IV: the given one, or a fresh one for None."""
        raise self.cannot(Use.ENCRYPT, mode)

    def cannot(self, use: Use, mode: str) -> InvalidInput:
        """Return the error for a mode that this type does not have."""
        return InvalidInput(f"{self.algorithm.name} keys cannot {use.verb} with {mode}.")


def pkcs8_pem(key: PrivateKeyTypes) -> bytes:
    """Return a key as unencrypted PKCS#8 (RFC 5208) PEM, the form NetHSM stores.

    It is sealed before it leaves the core process.
    """
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def spki_pem(key: PublicKeyTypes) -> bytes:
    """Return a public key as SubjectPublicKeyInfo (RFC 5280) PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def require_data(algorithm: Algorithm, parts: PrivateParts, size: int) -> bytes:
    """Return `parts.data`; InvalidInput unless it is there and has `size` bytes."""
    if parts.data is None:
        raise InvalidInput(f"{algorithm.name} keys need the field data.")
    if len(parts.data) != size:
        raise InvalidInput(
            f"The data of a {algorithm.name} key has {size} bytes, not {len(parts.data)}."
        )
    return parts.data
