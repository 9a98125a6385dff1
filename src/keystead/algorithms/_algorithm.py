"""What a key algorithm is to the rest of Keystead: a row that makes keys, and keys that work."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA65PrivateKey,
    MLDSA87PrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM1024PrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from keystead.algorithms._uses import SIGN, SIGNATURE, VERIFY, Option, Use, field_name
from keystead.errors import InvalidInput
from keystead.model.keys import PrivateMaterial

MAX_MISSING_ZEROS = 4
"""A random scalar lacks five bytes once in a trillion times."""

Result = bytes | bool | tuple[bytes, ...]
"""What a mechanism returns: its use's answer fields in order, or the first of them alone."""


class Mechanism(msgspec.Struct, frozen=True):
    """One thing that a key of one type may be allowed to do.

    A mechanism with several modes, or for several uses, has a row for each.
    """

    name: str
    use: Use
    mode: str
    """What a request calls it."""
    run: Callable[..., Result]
    """run(key, message, **options) does the work, on any thread. A use without a message has none.

    Raises InvalidInput, which says what did not fit, and DecryptionFailed, which does not.
    """
    needs: tuple[Option, ...] = ()
    """Options that a request must have."""
    options: tuple[Option, ...] = ()
    """Options that a request may have."""
    ignores: tuple[Option, ...] = ()
    """Options that a request may have to no effect, as in NetHSM. Any other option is refused."""
    works_slowly: bool = False
    """Whether it takes longer than an event loop may wait, whatever the key."""
    run_with_padding_errors: Callable[..., Result] | None = None
    """Runs instead of `run` where the operator has chosen `pkcs1_padding_errors`."""

    def require_options(self, given: Collection[str]) -> None:
        """Raise InvalidInput unless the names of options `given` are what this mechanism takes."""
        verb = self.use.verb
        for option in self.needs:
            if option.name not in given:
                name = field_name(option.name)
                raise InvalidInput(f"{self.mode} needs the field {name} to {verb}.")
        known = {option.name for option in (*self.needs, *self.options)}
        for name in given:
            if name not in known:
                field = field_name(name)
                raise InvalidInput(f"{self.mode} does not take the field {field} to {verb}.")


def signature_rows(
    name: str,
    mode: str,
    *,
    sign: Callable[..., bytes],
    verify: Callable[..., bool],
    options: tuple[Option, ...] = (),
) -> tuple[Mechanism, Mechanism]:
    """Return the two rows of a mode that signs: whatever signs also verifies, as verify(key,
    message, signature, **options). A signature of another form is False, not an error.
    """
    return (
        Mechanism(name, SIGN, mode, sign, options=options),
        Mechanism(name, VERIFY, mode, verify, needs=(SIGNATURE,), options=options),
    )


@dataclass(frozen=True, slots=True)
class PrivateParts:
    """A private key that came in as numbers: big-endian, already decoded from base64.

    RSA takes the primes and the public exponent, every other type takes `data`; BIP32 takes a
    mnemonic too, which is text.
    """

    prime_p: bytes | None = field(default=None, repr=False)
    prime_q: bytes | None = field(default=None, repr=False)
    public_exponent: bytes | None = None
    data: bytes | None = field(default=None, repr=False)
    mnemonic: str | None = field(default=None, repr=False)
    mnemonic_passphrase: str | None = field(default=None, repr=False)


class PublicParts(msgspec.Struct, frozen=True):
    """A public key as numbers: RSA's two (big-endian, no leading zeros), or `data`.

    `data` is an uncompressed point (SEC 1, 2.3.3: 04 ‖ x ‖ y), or as FIPS 203, FIPS 204, RFC 7748
    or RFC 8032 has it.
    """

    modulus: bytes | None = None
    public_exponent: bytes | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class CertificateSigner:
    """What pyca's X.509 builders need to sign with a key; no digest for EdDSA and ML-DSA."""

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
    def stores_public(self) -> bool:
        """Whether a stored key has its public half beside it: lists could not derive each in time.

        Never for a type that a NetHSM has, which would not read the record.
        """
        ...

    def generate(self, length: int | None) -> "PrivateKey":
        """Make a new key. RSA and Generic need its `length` in bits; other types ignore it.

        Raises InvalidInput if the length is missing or out of range.
        """
        ...

    def from_parts(self, parts: PrivateParts) -> "PrivateKey":
        """Make a key of untrusted numbers. Raises InvalidInput unless they are a sound key."""
        ...

    def adopt(self, parsed: PrivateKeyTypes) -> "PrivateKey | None":
        """Wrap a parsed key if it is of this type; None if not. Checks its size, not its soundness.

        InvalidInput: the type is this one, the size is out of its range.
        """
        ...


class PublicHalf(Protocol):
    """The public half of a key."""

    def public(self) -> PublicParts | None:
        """Return it as numbers; None if there is none."""
        ...

    def public_pem(self) -> bytes:
        """Return it as SubjectPublicKeyInfo (RFC 5280) in PEM. Raises InvalidInput without one."""
        ...


class PrivateKey(ABC):
    """A key that works, safe to use from several threads at once.

    Its type's mechanisms say what it can do. A type defines only what its keys have.
    """

    algorithm: Algorithm
    works_slowly: bool = False
    """Whether a use takes longer than an event loop may wait."""

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

    def child(self, derivation: str) -> PublicHalf:  # noqa: ARG002 - for the types that have a tree
        """Return the public half of the key at a path below this one."""
        raise InvalidInput(f"{self.algorithm.name} keys have no derivation.")

    def certificate_signer(self) -> CertificateSigner:
        """Return what an X.509 builder needs to sign with this key."""
        raise InvalidInput(f"{self.algorithm.name} keys cannot sign a certificate request.")


RawPrivateKey = (
    Ed25519PrivateKey
    | Ed448PrivateKey
    | MLDSA44PrivateKey
    | MLDSA65PrivateKey
    | MLDSA87PrivateKey
    | MLKEM768PrivateKey
    | MLKEM1024PrivateKey
    | X25519PrivateKey
    | X448PrivateKey
)
"""Keys of the library whose public half is a string of bytes."""
Key = TypeVar("Key", bound=RawPrivateKey)


class RawKey(PrivateKey, Generic[Key]):
    """A key whose public half is a string of bytes, as its standard encodes it."""

    def __init__(self, algorithm: Algorithm, key: Key) -> None:
        self.algorithm = algorithm
        self._key = key

    def material(self) -> PrivateMaterial:
        """Return the key as PKCS#8 PEM (RFC 8410, 9881 or 9935), and what its type stores of it."""
        public = self._public_bytes() if self.algorithm.stores_public else None
        return PrivateMaterial(pem=pkcs8_pem(self._key), public=public)

    def public(self) -> PublicParts:
        """Return the bytes of the public key (RFC 7748, RFC 8032, FIPS 203 or FIPS 204)."""
        return PublicParts(data=self._public_bytes())

    def public_pem(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo PEM."""
        return spki_pem(self._key.public_key())

    def _public_bytes(self) -> bytes:
        return self._key.public_key().public_bytes_raw()


def pkcs8_pem(key: PrivateKeyTypes) -> bytes:
    """Return a key as unencrypted PKCS#8 (RFC 5208) PEM, the form NetHSM stores.

    It is sealed before it leaves the core process.
    """
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def spki_pem(key: PublicKeyTypes) -> bytes:
    """Return a public key as SubjectPublicKeyInfo (RFC 5280) PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def holds(verify: Callable[..., None], *arguments: object) -> bool:
    """Return whether `verify`, a method of pyca's, accepts `arguments`; it raises if not."""
    try:
        verify(*arguments)
    except InvalidSignature:
        return False
    return True


def require_data(algorithm: Algorithm, parts: PrivateParts, size: int) -> bytes:
    """Return `parts.data`. Raises InvalidInput unless it is set and has `size` bytes."""
    if parts.data is None:
        raise InvalidInput(f"{algorithm.name} keys need the field data.")
    if len(parts.data) != size:
        raise InvalidInput(
            f"The data of a {algorithm.name} key has {size} bytes, not {len(parts.data)}."
        )
    return parts.data


def require_scalar(algorithm: Algorithm, parts: PrivateParts, size: int) -> int:
    """Return `parts.data` as the number of an EC key on a curve whose order has `size` bytes.

    Leading zeros may be missing, as in a Big integer of PKCS #11, or one too many, as Java's
    BigInteger has it. Raises InvalidInput if more are missing than a random scalar ever lacks: it
    belongs to a shorter curve, and would be a weak key on this one.
    """
    if parts.data is None:
        raise InvalidInput(f"{algorithm.name} keys need the field data.")
    if not size - MAX_MISSING_ZEROS <= len(parts.data) <= size + 1:
        raise InvalidInput(
            f"The data of a {algorithm.name} key has {size} bytes, not {len(parts.data)}."
        )
    return int.from_bytes(parts.data)
