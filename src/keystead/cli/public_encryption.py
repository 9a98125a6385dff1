"""Encryption with an RSA public key, which needs no HSM."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead.cli.exit_status import UsageError
from keystead.cli.signatures import HASHES

_OAEP: Final = "OAEP_"


def encrypt(public_pem: bytes, mode: str, message: bytes) -> bytes:
    """Return what `decrypt` of this mode reverses. Raises UsageError if the message is too long."""
    public = load_pem_public_key(public_pem)
    if not isinstance(public, rsa.RSAPublicKey):
        raise UsageError("Only RSA keys and Generic keys encrypt.")
    try:
        return public.encrypt(message, _padding(mode))
    except ValueError:
        raise UsageError(
            "The message is too long for this key: encrypt a symmetric key instead, and the "
            "message with that."
        ) from None


def _padding(mode: str) -> padding.AsymmetricPadding:
    name = mode.removeprefix(_OAEP).lower()
    if mode == "PKCS1":
        return padding.PKCS1v15()
    if not mode.startswith(_OAEP) or name not in HASHES:
        raise UsageError(f"This client cannot encrypt for {mode}.")
    return padding.OAEP(padding.MGF1(HASHES[name]), HASHES[name], None)
