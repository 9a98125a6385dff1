"""The keys of Secure Boot: the builder's own, from which a machine knows which image it may start.

PK, the platform key, allows changes of KEK. KEK allows changes of db. Images are signed with db.
The specification is UEFI 2.10, chapter 32.
"""

import datetime as dt
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from keystead.errors import InvalidInput

NAMES: Final = ("PK", "KEK", "db")
_BITS: Final = 2048
"""The only kind of key that every firmware verifies."""
_DAYS: Final = 3650
_OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys that a build signs with."""

    key: Path
    """Of boot images."""
    certificate: Path
    """Of that key; machines have it in db."""
    update_key: Path
    update_public_key: Path
    """Images have it, to verify the update images that come after them."""
    policy_key: Path
    policy_public_key: Path
    """Images have it, to seal the device key to it."""

    @classmethod
    def in_folder(cls, folder: Path) -> "SigningKeys":
        """Return those of a folder of `make_keys`. Raises InvalidInput if they are missing."""
        names = ("db.key", "db.pem", "update.key", "update.pem", "policy.key", "policy.pem")
        paths = [folder / name for name in names]
        for path in paths:
            if not path.is_file():
                raise InvalidInput(f"There is no {path}: `keystead image keys` makes it.")
        return cls(*paths)


def make_keys(folder: Path, *, now: dt.datetime) -> None:
    """Make a set of keys in the new folder `folder`.

    NAME.key is the private key, NAME.pem and NAME.der the certificate, for each of PK, KEK and db.
    update.key signs update images, and policy.key what a TPM measures of boot images; update.pem
    and policy.pem are their public keys. Raises InvalidInput if the
    folder is there already.
    """
    try:
        folder.mkdir(mode=stat.S_IRWXU)
    except OSError as error:
        raise InvalidInput(f"{folder}: {error.strerror}.") from error
    for name in NAMES:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        certificate = _self_signed(f"Keystead appliance {name}", key, now)
        _write(folder / f"{name}.key", _private(key))
        _write(folder / f"{name}.pem", certificate.public_bytes(Encoding.PEM))
        _write(folder / f"{name}.der", certificate.public_bytes(Encoding.DER))
    for name, curve in (("update", ec.SECP384R1()), ("policy", ec.SECP256R1())):
        signer = ec.generate_private_key(curve)
        _write(folder / f"{name}.key", _private(signer))
        public = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _write(folder / f"{name}.pem", public)


def _self_signed(name: str, key: rsa.RSAPrivateKey, now: dt.datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _private(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
