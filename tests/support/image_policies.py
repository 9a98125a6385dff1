"""Images as a TPM measures them, and what a builder signs for them."""

import json

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from keystead.appliance.sign_policy import sign_policy
from tests.support.quotes import after
from tests.support.tpm import Swtpm

PRIVATE = ec.generate_private_key(ec.SECP256R1())
"""The builder's."""


def pem_of(private: ec.EllipticCurvePrivateKey = PRIVATE) -> bytes:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def contents_of(image: bytes) -> bytes:
    """The part of contents.json that says what a TPM measures of an image."""
    return json.dumps({"measurements": {"pcr11": after((11, image))["11"].hex()}}).encode()


def signed_policy(
    image: bytes, security_version: int, private: ec.EllipticCurvePrivateKey = PRIVATE
) -> bytes:
    """What the builder signs for an image."""
    private_pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return sign_policy(contents_of(image), private_pem, security_version=security_version)


def boot(tpm: Swtpm, image: bytes) -> None:
    """Restart the machine of a TPM with this image."""
    from tpm2_pytss import ESYS_TR  # noqa: PLC0415 - may be missing

    tpm.restart()
    with tpm.esys() as esys:
        esys.pcr_event(ESYS_TR(11), image)
