"""Private keys in files of other tools: PEM and DER (PKCS#8, PKCS#1, SEC 1), PKCS#12, OpenSSH.

What leaves here is PKCS#8 in PEM, which the HSM checks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    load_ssh_private_key,
    pkcs12,
)

from keystead.errors import InvalidInput

MAX_BYTES: Final = 1024 * 1024
AskPassphrase = Callable[[], str]

_PKCS8: Final = b"-----BEGIN PRIVATE KEY-----"
_LOADERS: Final = (load_pem_private_key, load_ssh_private_key, load_der_private_key)


class NoPrivateKey(InvalidInput):
    """The file holds no private key: something else, or nothing."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key that was read, and the certificates that were beside it."""

    pem: bytes = field(repr=False)
    type_name: str
    """How the API's name of its type begins, as far as this client knows it; else empty."""
    certificate: bytes
    """PEM, the key's own first; empty if there is none."""


def read(content: bytes, ask_passphrase: AskPassphrase) -> KeyFile:
    """Return the private key in a file; the passphrase is asked for if it is encrypted.

    Raises InvalidInput if there is no key, or if the passphrase is wrong.
    """
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"The file has more than {MAX_BYTES} bytes: it is not a private key.")
    for load in _LOADERS:
        try:
            return key_file(load(content, None), b"")
        except TypeError:  # It is encrypted.
            return key_file(_decrypted(load, content, ask_passphrase()), b"")
        except (ValueError, UnsupportedAlgorithm):
            continue
    if _PKCS8 in content:  # OpenSSL 3.5 writes ML-DSA so that pyca does not load it; the HSM does.
        return KeyFile(content, "", b"")
    return _read_pkcs12(content, ask_passphrase)


def type_of(key: PrivateKeyTypes) -> str:
    """Return how the API's name of a key's type begins; empty if this client does not know it."""
    match key:
        case rsa.RSAPrivateKey():
            return "RSA"
        case ec.EllipticCurvePrivateKey():
            return "EC_"
        case ed25519.Ed25519PrivateKey():
            return "Curve25519"
        case ed448.Ed448PrivateKey():
            return "Ed448"
        case mldsa.MLDSA44PrivateKey() | mldsa.MLDSA65PrivateKey() | mldsa.MLDSA87PrivateKey():
            return "ML_DSA_"
        case _:
            return ""


def _decrypted(
    load: Callable[[bytes, bytes], PrivateKeyTypes], content: bytes, passphrase: str
) -> PrivateKeyTypes:
    try:
        return load(content, passphrase.encode())
    except UnsupportedAlgorithm:  # OpenSSH's, which needs bcrypt.
        raise InvalidInput(
            "The file is encrypted in a way that this client does not read; for a key of OpenSSH, "
            "'ssh-keygen -p -m PKCS8 -f FILE' changes that."
        ) from None
    except ValueError:
        raise InvalidInput("The passphrase is wrong, or the file is damaged.") from None


def _read_pkcs12(content: bytes, ask_passphrase: AskPassphrase) -> KeyFile:
    if not content.startswith(b"\x30"):
        raise NoPrivateKey("There is no private key in the file.")
    try:
        found = pkcs12.load_pkcs12(content, None)
    except ValueError:
        try:
            found = pkcs12.load_pkcs12(content, ask_passphrase().encode())
        except ValueError:
            raise InvalidInput(
                "The passphrase is wrong, or there is no private key in the file."
            ) from None
    if found.key is None:
        raise NoPrivateKey("There is no private key in the file.")
    chain = [] if found.cert is None else [found.cert, *found.additional_certs]
    pem = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in chain)
    return key_file(found.key, pem)


def key_file(key: PrivateKeyTypes, certificate: bytes) -> KeyFile:
    """Return a key as it is sent, with the certificates (PEM) that belong to it."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyFile(pem, type_of(key), certificate)
