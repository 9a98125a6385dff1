"""Authenticated encryption of one record, bound to the path where it is stored."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keystead.errors import DecryptionFailed
from keystead.model.secret import Secret

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


def seal(key: Secret, path: str, plaintext: bytes) -> bytes:
    """Return nonce ‖ ciphertext ‖ tag: AES-256-GCM (SP 800-38D) with `path` as associated data.

    The nonce is random: one key may seal 2**32 records before a repeated nonce becomes as likely
    as 2**-32 (SP 800-38D section 8.3).
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, plaintext, path.encode())


def unseal(key: Secret, path: str, sealed: bytes) -> bytes:
    """Return what `seal` put in under the same key and path; DecryptionFailed for anything else."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise DecryptionFailed("The sealed data does not open.")
    try:
        return AESGCM(key.reveal()).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], path.encode()
        )
    except InvalidTag:
        raise DecryptionFailed("The sealed data does not open.") from None
