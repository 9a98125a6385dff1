"""The keys in a SoftHSM2 token, read from its files with the user PIN.

PKCS#11 gives out no key that is sensitive or not extractable, which most are. The files have them
all: a token is a folder, an object of PKCS#11 a file of attributes, and what is private in it is
AES-256-CBC under the token's key, which the PIN opens.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.cli.key_files import KeyFile, key_file
from keystead.errors import InvalidInput

MAX_FILE_BYTES: Final = 1024 * 1024
_GENERATION_BYTES: Final = 8
_SALT_BYTES: Final = 8
_IV_BYTES: Final = 16
_MAGIC: Final = b"RJR"
"""What the token's key begins with, so that a wrong PIN shows."""
_LEAST_ROUNDS: Final = 1500
_ED25519_BYTES: Final = 32


class _Attribute(IntEnum):
    """Attributes of PKCS#11, and SoftHSM2's own."""

    CLASS = 0x0
    PRIVATE = 0x2
    LABEL = 0x3
    VALUE = 0x11
    KEY_TYPE = 0x100
    ID = 0x102
    MODULUS = 0x120
    PUBLIC_EXPONENT = 0x122
    PRIVATE_EXPONENT = 0x123
    PRIME_1 = 0x124
    PRIME_2 = 0x125
    EXPONENT_1 = 0x126
    EXPONENT_2 = 0x127
    COEFFICIENT = 0x128
    EC_PARAMS = 0x180
    TOKEN_LABEL = 0x80005349
    USER_PIN = 0x8000534D


class _Class(IntEnum):
    CERTIFICATE = 1
    PRIVATE_KEY = 3
    SECRET_KEY = 4


class _KeyType(IntEnum):
    RSA = 0x0
    EC = 0x3
    AES = 0x1F
    EDWARDS = 0x40


class _Kind(IntEnum):
    """How an attribute's value is written."""

    BOOLEAN = 1
    NUMBER = 2
    BYTES = 3
    ATTRIBUTES = 4
    MECHANISMS = 5


_Attributes = Mapping[int, int | bytes]


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key of a token: asymmetric, or the bytes of a symmetric one. Or why it is neither."""

    label: str
    asymmetric: KeyFile | None = None
    symmetric: bytes | None = field(default=None, repr=False)
    is_aes: bool = False
    problem: str = ""


def token_folder(root: Path, label: str) -> Path:
    """Return the folder of the token with this label; of the only one if that is empty.

    Raises InvalidInput if there is no such token, or more than one.
    """
    found = {
        file.parent: _text(_attributes(file).get(_Attribute.TOKEN_LABEL, b""))
        for file in sorted(root.glob("*/token.object"))
    }
    wanted = [folder for folder, its_label in found.items() if label in ("", its_label)]
    if len(wanted) != 1:
        which = f"exactly one token with the label {label}" if label else "exactly one token"
        labels = ", ".join(found.values()) or "none"
        raise InvalidInput(f"{root} does not have {which}. Its tokens: {labels}.")
    return wanted[0]


def read_token(folder: Path, pin: str) -> Iterator[TokenKey]:
    """Yield the private and secret keys. Raises InvalidInput for a wrong PIN."""
    token_key = _token_key(_attributes(folder / "token.object"), pin)
    files = sorted(set(folder.glob("*.object")) - {folder / "token.object"})
    objects = [_opened(file, token_key) for file in files]
    certificates = {
        one[_Attribute.ID]: one[_Attribute.VALUE]
        for one in objects
        if one.get(_Attribute.CLASS) == _Class.CERTIFICATE
    }
    for one in objects:
        if one.get(_Attribute.CLASS) in (_Class.PRIVATE_KEY, _Class.SECRET_KEY):
            certificate = certificates.get(one.get(_Attribute.ID, b""), b"")
            yield _key(one, certificate)


def _key(one: _Attributes, certificate: int | bytes) -> TokenKey:
    label = _text(one.get(_Attribute.LABEL, b"")) or _octets(one, _Attribute.ID).hex() or "key"
    key_type = one.get(_Attribute.KEY_TYPE)
    if one[_Attribute.CLASS] == _Class.SECRET_KEY:
        value = _octets(one, _Attribute.VALUE)
        return TokenKey(label, symmetric=value, is_aes=key_type == _KeyType.AES)
    try:
        private = _private_key(one)
        pem = b""
        if isinstance(certificate, bytes) and certificate:
            pem = x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
        return TokenKey(label, asymmetric=key_file(private, pem))
    except (ValueError, KeyError, LookupError, UnsupportedAlgorithm):
        return TokenKey(label, problem="its type is not supported")


def _private_key(one: _Attributes) -> PrivateKeyTypes:
    """Return the key. Raises ValueError or LookupError for one that this client cannot make."""
    match one.get(_Attribute.KEY_TYPE):
        case _KeyType.RSA:
            return _rsa_key(one)
        case _KeyType.EC:
            oid = asn1.decode_der(x509.ObjectIdentifier, _octets(one, _Attribute.EC_PARAMS))
            curve = ec.get_curve_for_oid(oid)()
            return ec.derive_private_key(int.from_bytes(_octets(one, _Attribute.VALUE)), curve)
        case _KeyType.EDWARDS:
            seed = _octets(one, _Attribute.VALUE)
            if len(seed) == _ED25519_BYTES:
                return ed25519.Ed25519PrivateKey.from_private_bytes(seed)
            return ed448.Ed448PrivateKey.from_private_bytes(seed)
        case _:
            raise ValueError("unknown type")


def _rsa_key(one: _Attributes) -> rsa.RSAPrivateKey:
    def number(attribute: _Attribute) -> int:
        return int.from_bytes(_octets(one, attribute))

    public = rsa.RSAPublicNumbers(number(_Attribute.PUBLIC_EXPONENT), number(_Attribute.MODULUS))
    numbers = rsa.RSAPrivateNumbers(
        p=number(_Attribute.PRIME_1),
        q=number(_Attribute.PRIME_2),
        d=number(_Attribute.PRIVATE_EXPONENT),
        dmp1=number(_Attribute.EXPONENT_1),
        dmq1=number(_Attribute.EXPONENT_2),
        iqmp=number(_Attribute.COEFFICIENT),
        public_numbers=public,
    )
    # The HSM validates it.
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _token_key(token: _Attributes, pin: str) -> bytes:
    """Return the key of what is private: sealed under iterated SHA-256 of salt and PIN."""
    sealed = _octets(token, _Attribute.USER_PIN)
    salt, rest = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
    if not rest:
        raise InvalidInput("The token has no user PIN: it was never set up.")
    digest = hashlib.sha256(salt + pin.encode()).digest()
    for _ in range(_LEAST_ROUNDS + salt[-1] - 1):
        digest = hashlib.sha256(digest).digest()
    try:
        opened = _decrypted(digest, rest)
    except ValueError:
        opened = b""
    if not opened.startswith(_MAGIC):
        raise InvalidInput("The PIN is not this token's user PIN.")
    return opened.removeprefix(_MAGIC)


def _opened(file: Path, token_key: bytes) -> _Attributes:
    """Return the attributes of an object, decrypted if it is private."""
    one = _attributes(file)
    if not one.get(_Attribute.PRIVATE):
        return one
    try:
        return {
            name: _decrypted(token_key, value) if isinstance(value, bytes) and value else value
            for name, value in one.items()
        }
    except ValueError:
        raise InvalidInput(f"{file} is damaged: it does not open.") from None


def _decrypted(key: bytes, sealed: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(sealed[:_IV_BYTES])).decryptor()
    unpadder = PKCS7(algorithms.AES.block_size).unpadder()
    padded = cipher.update(sealed[_IV_BYTES:]) + cipher.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def _attributes(file: Path) -> dict[int, int | bytes]:
    """Return the attributes in a file. Raises InvalidInput if it is not one of SoftHSM2's."""
    with file.open("rb") as stream:
        content = stream.read(MAX_FILE_BYTES)
    try:
        return dict(_parsed(content))
    except (struct.error, ValueError, IndexError):
        raise InvalidInput(f"{file} is not a file of SoftHSM2.") from None


def _parsed(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield type and value of each attribute: numbers are of 8 bytes, big-endian."""
    if len(content) < _GENERATION_BYTES:
        raise ValueError("cut short")
    position = _GENERATION_BYTES
    while position < len(content):
        attribute, kind = struct.unpack_from(">QQ", content, position)
        position += 16
        if kind == _Kind.BOOLEAN:
            value, size = content[position], 1
        else:
            (value,), size = struct.unpack_from(">Q", content, position), 8
        position += size
        if _Kind(kind) in (_Kind.BOOLEAN, _Kind.NUMBER):
            yield attribute, value
            continue
        length = 8 * value if kind == _Kind.MECHANISMS else value
        if length > len(content) - position:
            raise ValueError("cut short")
        if kind == _Kind.BYTES:
            yield attribute, content[position : position + length]
        position += length


def _octets(one: _Attributes, attribute: _Attribute) -> bytes:
    value = one.get(attribute, b"")
    return value if isinstance(value, bytes) else b""


def _text(value: int | bytes) -> str:
    return value.decode(errors="replace").strip(" \0") if isinstance(value, bytes) else ""
