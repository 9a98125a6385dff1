"""The one place for key algorithms: a row each in `ALL`, and everything else follows from it.

To add a key type: a module here that defines its row, the row in `ALL`, a file of test vectors.
To add a mechanism: a function and a row in the module of its key type, and its test vectors.
"""

from collections.abc import Callable, Container, Mapping
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keystead.algorithms import (
    bip32,
    ecdsa,
    eddsa,
    generic,
    ml_dsa,
    ml_kem,
    montgomery,
    rsa,
    secp256k1,
)
from keystead.algorithms._algorithm import (
    Algorithm,
    CertificateSigner,
    Mechanism,
    PrivateKey,
    PrivateParts,
    PublicHalf,
    PublicParts,
    Result,
)
from keystead.algorithms._key_files import read_private_key
from keystead.algorithms._stored_halves import StoredHalves
from keystead.algorithms._stored_points import ShownPublic, StoredPoints
from keystead.algorithms._uses import (
    DECAPSULATE,
    DECRYPT,
    DERIVE,
    ENCAPSULATE,
    ENCRYPT,
    SIGN,
    USES,
    VERIFY,
    Kdf,
    Option,
    Use,
    field_name,
)
from keystead.errors import CorruptRecord, InvalidInput
from keystead.model.keys import PrivateMaterial

__all__ = [
    "ALL",
    "BY_NAME",
    "DECAPSULATE",
    "DECRYPT",
    "DERIVE",
    "ENCAPSULATE",
    "ENCRYPT",
    "GENERIC",
    "MECHANISMS",
    "SIGN",
    "USES",
    "VERIFY",
    "Algorithm",
    "CertificateSigner",
    "Kdf",
    "Mechanism",
    "Option",
    "PrivateKey",
    "PrivateParts",
    "PublicHalf",
    "PublicParts",
    "Result",
    "ShownPublic",
    "Use",
    "field_name",
    "ignored_options",
    "import_parts",
    "import_pem",
    "is_mode",
    "known_mechanisms",
    "load",
    "mechanism_names",
    "mechanism_of",
    "options_of",
    "stored_half",
    "stored_point",
]

ALL: Final[tuple[Algorithm, ...]] = (
    rsa.RSA,
    eddsa.CURVE25519,
    ecdsa.EC_P256,
    ecdsa.EC_P384,
    ecdsa.EC_P521,
    secp256k1.EC_P256K1,
    ecdsa.BRAINPOOL_P256,
    ecdsa.BRAINPOOL_P384,
    ecdsa.BRAINPOOL_P512,
    generic.GENERIC,
    eddsa.ED448,
    ml_dsa.ML_DSA_44,
    ml_dsa.ML_DSA_65,
    ml_dsa.ML_DSA_87,
    montgomery.X25519,
    montgomery.X448,
    ml_kem.ML_KEM_768,
    ml_kem.ML_KEM_1024,
    bip32.BIP32,
)
"""Every key type, in the order of the API description."""

GENERIC: Final[Algorithm] = generic.GENERIC
"""The type of keys that are made of derived secrets."""

BY_NAME: Final[Mapping[str, Algorithm]] = MappingProxyType({row.name: row for row in ALL})
"""Key types by name."""

_OF_RAW_BYTES: Final[Mapping[str, Callable[[bytes], PrivateKey]]] = MappingProxyType(
    {generic.GENERIC.name: generic.GenericKey, bip32.BIP32.name: bip32.Bip32Key}
)
"""What makes a key of raw bytes that were stored, by their type."""

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = MappingProxyType(
    {row.name: row.curve for row in ALL if isinstance(row, ecdsa.Curve)}
    | {secp256k1.EC_P256K1.name: ec.SECP256K1()}
)

stored_point: Final = StoredPoints(_CURVES).find
"""Returns the public half of a stored key in PEM, if it is found without parsing the key."""

stored_half: Final = StoredHalves(BY_NAME).show
"""Returns a public half that is stored beside its private key, by the name of the key's type."""

_ROWS: Final = tuple((row, mechanism) for row in ALL for mechanism in row.mechanisms)

MECHANISMS: Final = tuple(dict.fromkeys(mechanism.name for _, mechanism in _ROWS))
"""The names of all mechanisms, in the order of the key types; some types share one."""


def known_mechanisms(names: Container[str]) -> tuple[str, ...]:
    """Return those of these names that are mechanisms, in the order of `MECHANISMS`."""
    return tuple(name for name in MECHANISMS if name in names)


_NAMES_OF: Final = MappingProxyType(
    {row.name: frozenset(mechanism.name for mechanism in row.mechanisms) for row in ALL}
)


def mechanism_names(algorithm: Algorithm) -> frozenset[str]:
    """Return the names of all mechanisms that keys of this type can have."""
    return _NAMES_OF[algorithm.name]


_CERTIFICATE_MODES: Final = frozenset({"PKCS1", "ECDSA", "EdDSA", "ML_DSA"})

_BY_MODE: Final = MappingProxyType(
    {(row.name, mechanism.use, mechanism.mode): mechanism for row, mechanism in _ROWS}
)

_IGNORED: Final = MappingProxyType(
    {(mechanism.use, mechanism.mode): mechanism.ignores for _, mechanism in _ROWS}
)


def mechanism_of(algorithm: Algorithm, use: Use, mode: str) -> Mechanism:
    """Return what a request's `mode` means for keys of this type.

    Raises InvalidInput for a mode that this type does not have, or no type at all.
    """
    mechanism = _BY_MODE.get((algorithm.name, use, mode))
    if mechanism is not None:
        return mechanism
    if not is_mode(use, mode):
        raise InvalidInput(f"Unknown {use.verb} mode.")
    raise InvalidInput(f"Key mechanisms do not allow it to {use.verb}.")


def modes_of(algorithm: Algorithm, mechanisms: frozenset[str]) -> frozenset[str]:
    """Return every mode that these mechanisms allow to keys of this type."""
    return frozenset(row.mode for row in algorithm.mechanisms if row.name in mechanisms)


def certificate_mode(algorithm: Algorithm) -> str:
    """Return the mode in which keys of this type sign certificate requests, or "" if in none."""
    signing = (row.mode for row in algorithm.mechanisms if row.use is SIGN)
    return next((mode for mode in signing if mode in _CERTIFICATE_MODES), "")


def is_mode(use: Use, mode: str) -> bool:
    """Return whether some key type has this mode."""
    return (use, mode) in _IGNORED


def ignored_options(use: Use, mode: str) -> tuple[Option, ...]:
    """Return the options that a request of this mode may have to no effect."""
    return _IGNORED.get((use, mode), ())


def options_of(use: Use) -> tuple[Option, ...]:
    """Return every option that some mechanism takes for this use."""
    found = (
        option
        for _, mechanism in _ROWS
        if mechanism.use is use
        for option in (*mechanism.needs, *mechanism.options)
    )
    return tuple(dict.fromkeys(found))


def load(material: PrivateMaterial) -> PrivateKey:
    """Return a stored key, ready for use.

    Raises CorruptRecord if it does not parse, or if the public half beside it is another key's.
    The material was authenticated when it was unsealed and validated when it was imported, so
    nothing costly is checked again: validating an RSA key takes up to seconds.
    """
    key = _load(material)
    if material.public is not None and key.public() != PublicParts(data=material.public):
        raise CorruptRecord("A stored public key belongs to another private key.")
    return key


def _load(material: PrivateMaterial) -> PrivateKey:
    if material.raw is not None:
        return _load_raw(material.raw, material.raw_type)
    pem = material.pem or b""
    try:
        return _adopt(load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True))
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidInput):
        # A restored backup of a NetHSM may have what the library refuses.
        pass
    try:
        return _adopt(read_private_key(pem))
    except InvalidInput:
        raise CorruptRecord("A stored private key does not parse.") from None


def _load_raw(raw: bytes, raw_type: str) -> PrivateKey:
    make = _OF_RAW_BYTES.get(raw_type)
    try:
        if make is not None:
            return make(raw)
    except InvalidInput:
        pass
    raise CorruptRecord("A stored private key does not parse.")


def import_parts(algorithm: Algorithm, parts: PrivateParts) -> PrivateKey:
    """Return a key from outside of its numbers; slow for RSA.

    Raises InvalidInput if the numbers make no valid key of this algorithm.
    """
    if algorithm is not bip32.BIP32 and (parts.mnemonic, parts.mnemonic_passphrase) != (None, None):
        raise InvalidInput(f"{algorithm.name} keys are not made of a mnemonic.")
    return algorithm.from_parts(parts)


def import_pem(pem: bytes) -> PrivateKey:
    """Return a key from outside, fully validated; slow for RSA.

    Takes PKCS #8 and the traditional forms of RSA and EC, unencrypted. Raises InvalidInput, which
    says what the file holds instead.
    """
    # The size is checked before the soundness, whose cost grows with its fourth power.
    key = _adopt(read_private_key(pem))
    key.validate()
    return key


def _adopt(parsed: PrivateKeyTypes) -> PrivateKey:
    for row in ALL:
        key = row.adopt(parsed)
        if key is not None:
            return key
    raise InvalidInput("The type of the private key is not supported.")
