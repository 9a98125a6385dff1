"""BIP-32 over secp256k1: one seed, and a tree of keys that sign. A key of the tree is made for each
use and wiped after it; chain codes never leave.
"""

import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from mnemonic import Mnemonic

from keystead.algorithms._algorithm import (
    Algorithm,
    PrivateKey,
    PrivateParts,
    PublicParts,
    signature_rows,
    spki_pem,
)
from keystead.algorithms._libsecp256k1 import SCALAR_BYTES, Point, Signer, require_digest
from keystead.algorithms._uses import DERIVATION
from keystead.errors import InvalidInput
from keystead.model.keys import PrivateMaterial

MIN_SEED_BYTES: Final = 16
MAX_SEED_BYTES: Final = 64
GENERATED_SEED_BYTES: Final = 64
MAX_DEPTH: Final = 10
MAX_TEXT: Final = 1000
"""Characters of a mnemonic and of its passphrase."""
HARDENED: Final = 2**31
MASTER: Final = "m"

_STEP: Final = re.compile(r"(0|[1-9][0-9]{0,9})(['hH]?)", re.ASCII)
# It reads its list of words from a file, which a confined process cannot.
_ENGLISH: Final = Mnemonic("english")


class Bip32Key(PrivateKey):
    """A seed, and what is derived from it."""

    def __init__(self, seed: bytes) -> None:
        """Raise InvalidInput if the seed has no master key, as one in 2^127 has none."""
        self.algorithm: Algorithm = BIP32
        self._seed = seed
        mac = hmac.digest(b"Bitcoin seed", seed, "sha512")
        self._chain_code = mac[SCALAR_BYTES:]
        self._master = _key(mac[:SCALAR_BYTES])

    def material(self) -> PrivateMaterial:
        """Return the seed."""
        return PrivateMaterial(raw=self._seed, raw_type=BIP32.name)

    def public(self) -> PublicParts:
        """Return the master's point, uncompressed."""
        return _Child(self._master.public).public()

    def public_pem(self) -> bytes:
        """Return the master's public key as SubjectPublicKeyInfo PEM."""
        return _Child(self._master.public).public_pem()

    def child(self, derivation: str) -> "_Child":
        """Return the public half of the key at a path as "m/44'/60'/0'/0/0"."""
        with self._derived(derivation) as signer:
            return _Child(signer.public)

    def sign_ecdsa(self, message: bytes, derivation: str = MASTER) -> bytes:
        """Sign a digest of 32 bytes; the signature is DER with a low s (BIP 146)."""
        require_digest(self.algorithm, message)
        with self._derived(derivation) as signer:
            return signer.sign_ecdsa(message)

    def verify_ecdsa(self, message: bytes, signature: bytes, derivation: str = MASTER) -> bool:
        """Return whether `signature`, in DER, is one of this digest; a high s is one as well."""
        require_digest(self.algorithm, message)
        with self._derived(derivation) as signer:
            return signer.public.verify_ecdsa(message, signature)

    def sign_bip340(self, message: bytes, derivation: str = MASTER) -> bytes:
        """Sign a message of any length; the signature has the 64 bytes of BIP-340."""
        with self._derived(derivation) as signer:
            return signer.sign_bip340(message)

    def verify_bip340(self, message: bytes, signature: bytes, derivation: str = MASTER) -> bool:
        """Return whether `signature` is one of this message by BIP-340."""
        with self._derived(derivation) as signer:
            return signer.public.verify_bip340(message, signature)

    @contextmanager
    def _derived(self, derivation: str) -> Iterator[Signer]:
        """Give the key at a path, and wipe it and those on the way to it in the end."""
        signer, chain_code = self._master, self._chain_code
        made: list[Signer] = []
        try:
            for index in _indices(derivation):
                signer, chain_code = _step(signer, chain_code, index)
                made.append(signer)
            yield signer
        finally:
            for one in made:
                one.wipe()


class _Child:
    """The public half of a key of the tree."""

    def __init__(self, point: Point) -> None:
        self._point = point

    def public(self) -> PublicParts:
        """Return the point, uncompressed."""
        return PublicParts(data=self._point.encoded())

    def public_pem(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo PEM."""
        encoded = self._point.encoded()
        return spki_pem(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), encoded))


def _indices(derivation: str) -> list[int]:
    """Return the child numbers of a path. Raises InvalidInput if it is not one."""
    master, *steps = derivation.split("/")
    if len(steps) > MAX_DEPTH:
        raise InvalidInput(f"The derivation has more than {MAX_DEPTH} steps.")
    parsed = [_STEP.fullmatch(step) for step in steps]
    numbers = [(int(step[1]), HARDENED if step[2] else 0) for step in parsed if step is not None]
    if master != MASTER or None in parsed or any(number >= HARDENED for number, _ in numbers):
        raise InvalidInput(
            "The derivation is a path as m/44'/60'/0'/0/0, of numbers below 2147483648."
        )
    return [number + hardened for number, hardened in numbers]


def _step(parent: Signer, chain_code: bytes, index: int) -> tuple[Signer, bytes]:
    """Return a child key and its chain code (BIP-32, CKDpriv)."""
    data = bytearray(1 + SCALAR_BYTES)
    if index >= HARDENED:
        parent.copy_to(memoryview(data)[1:])
    else:
        data[:] = parent.public.encoded(compressed=True)
    data += index.to_bytes(4)
    mac = hmac.digest(chain_code, data, "sha512")
    data[:] = bytes(len(data))
    try:
        return parent.plus(mac[:SCALAR_BYTES]), mac[SCALAR_BYTES:]
    except ValueError:
        raise InvalidInput("There is no key at this derivation; the next number has one.") from None


def _key(scalar: bytes) -> Signer:
    try:
        return Signer(scalar)
    except ValueError:
        raise InvalidInput("There is no master key of this seed.") from None


class _Bip32:
    """The row of BIP-32."""

    name = "BIP32"
    generates_slowly = False
    stores_public = False
    mechanisms = (
        *signature_rows(
            "ECDSA_Signature",
            "ECDSA",
            sign=Bip32Key.sign_ecdsa,
            verify=Bip32Key.verify_ecdsa,
            options=(DERIVATION,),
        ),
        *signature_rows(
            "BIP340_Signature",
            "BIP340",
            sign=Bip32Key.sign_bip340,
            verify=Bip32Key.verify_bip340,
            options=(DERIVATION,),
        ),
    )

    def generate(self, length: int | None) -> Bip32Key:  # noqa: ARG002  there is one length
        """Make a seed of 64 bytes."""
        return Bip32Key(secrets.token_bytes(GENERATED_SEED_BYTES))

    def from_parts(self, parts: PrivateParts) -> Bip32Key:
        """Make a key of its seed, or of a mnemonic (BIP-39, English) and its passphrase."""
        if parts.mnemonic is not None:
            return Bip32Key(_seed_of(parts))
        if parts.mnemonic_passphrase is not None:
            raise InvalidInput("A mnemonicPassphrase belongs to a mnemonic.")
        if parts.data is None:
            raise InvalidInput("BIP32 keys need the field data or mnemonic.")
        if not MIN_SEED_BYTES <= len(parts.data) <= MAX_SEED_BYTES:
            raise InvalidInput(
                f"The seed of a BIP32 key has {MIN_SEED_BYTES} to {MAX_SEED_BYTES} bytes, "
                f"not {len(parts.data)}."
            )
        return Bip32Key(parts.data)

    def adopt(self, parsed: PrivateKeyTypes) -> None:
        """Nothing in a PEM is a BIP32 key."""


def _seed_of(parts: PrivateParts) -> bytes:
    """Return the 64 bytes of BIP-39. Raises InvalidInput unless the checksum is right."""
    mnemonic, passphrase = parts.mnemonic or "", parts.mnemonic_passphrase or ""
    if parts.data is not None:
        raise InvalidInput("A BIP32 key is made of data or of a mnemonic, not of both.")
    if max(len(mnemonic), len(passphrase)) > MAX_TEXT:
        raise InvalidInput(f"mnemonic and mnemonicPassphrase have up to {MAX_TEXT} characters.")
    if not _ENGLISH.check(mnemonic):
        raise InvalidInput(
            "The mnemonic is not 12, 15, 18, 21 or 24 words of BIP-39's English list, "
            "or its checksum is wrong."
        )
    return _ENGLISH.to_seed(mnemonic, passphrase)


BIP32 = _Bip32()
