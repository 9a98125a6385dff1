"""Authenticated encryption of one record, bound to the path where it is stored."""

import contextlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.cmac import CMAC

from keystead.errors import DecryptionFailed
from keystead.model.secret import Secret

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
EXTENDED_NONCE_BYTES = 24


def seal(key: Secret, path: str, plaintext: bytes) -> bytes:
    """Return nonce ‖ ciphertext ‖ tag: AES-256-GCM (SP 800-38D) with `path` as associated data.

    The nonce is random: one key may seal 2**32 records before a repeated nonce becomes as likely
    as 2**-32 (SP 800-38D section 8.3). So it is used for records that are seldom written, and for
    backups, which a NetHSM reads.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, plaintext, path.encode())


def seal_extended(key: Secret, path: str, plaintext: bytes) -> bytes:
    """Return nonce ‖ ciphertext ‖ tag: XAES-256-GCM (C2SP) with `path` as associated data.

    Each record is encrypted under a key of its own, derived from half of its random 24-byte nonce.
    So one key may seal 2**80 records before two of them are as likely as 2**-32 to share both.
    """
    nonce = os.urandom(EXTENDED_NONCE_BYTES)
    return nonce + _subkey(key, nonce).encrypt(nonce[NONCE_BYTES:], plaintext, path.encode())


def mark_of(sealed: bytes) -> bytes:
    """Return what tells sealed records under one key apart: the start of the nonce, and the tag.

    It does not tell whether a record opens: someone may have changed what lies between.
    """
    return sealed[:NONCE_BYTES] + sealed[-TAG_BYTES:]


def unseal_any(key: Secret, path: str, sealed: bytes) -> bytes:
    """Return the plaintext of `seal_extended`, or of `seal` in earlier software.

    Raises DecryptionFailed for anything else. Both are authenticated under the same key and path,
    so what opens in one form was sealed in it.
    """
    nonce, rest = sealed[:EXTENDED_NONCE_BYTES], sealed[EXTENDED_NONCE_BYTES:]
    if len(rest) >= TAG_BYTES:
        with contextlib.suppress(InvalidTag):
            return _subkey(key, nonce).decrypt(nonce[NONCE_BYTES:], rest, path.encode())
    return unseal(key, path, sealed)


def _subkey(key: Secret, nonce: bytes) -> AESGCM:
    """Return the cipher for one nonce: SP 800-108 in counter mode with CMAC, label "X".

    A store's key seals each of its records, so the state of CMAC under it is kept with it.
    """
    mac = key.kept(_mac_under)
    first, second = mac.copy(), mac.copy()
    # Counter, label, separator, context; no length.
    context = nonce[:NONCE_BYTES]
    first.update(b"\0\1X\0" + context)
    second.update(b"\0\2X\0" + context)
    return AESGCM(first.finalize() + second.finalize())


def _mac_under(key: bytes) -> CMAC:
    return CMAC(AES256(key))


def unseal(key: Secret, path: str, sealed: bytes) -> bytes:
    """Return the plaintext of `seal` under the same key and path.

    Raises DecryptionFailed if the key or path is another, or `sealed` was changed.
    """
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise DecryptionFailed("The sealed data does not open.")
    try:
        return AESGCM(key.reveal()).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], path.encode()
        )
    except InvalidTag:
        raise DecryptionFailed("The sealed data does not open.") from None
