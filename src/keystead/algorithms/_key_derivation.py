"""HKDF (RFC 5869), for keys that derive and for secrets that two parties agreed on."""

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystead.algorithms._uses import Kdf
from keystead.errors import InvalidInput

HASHES: Final = {
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
MIN_BYTES: Final = 16
MAX_BYTES: Final = 8160
"""What HKDF with SHA-256 can give; the same for all hashes."""
MAX_CONTEXT_BYTES: Final = 1024
"""Of salt and info each. Every 32 bytes of the result hash the info again."""


def derive(secret: bytes, kdf: Kdf) -> bytes:
    """Return `kdf.length` bytes of `secret`. Raises InvalidInput for what is out of range."""
    if kdf.hkdf not in HASHES:
        raise InvalidInput(f"The hash of HKDF is one of {', '.join(HASHES)}.")
    if not MIN_BYTES <= kdf.length <= MAX_BYTES:
        raise InvalidInput(f"HKDF derives {MIN_BYTES} to {MAX_BYTES} bytes, not {kdf.length}.")
    for name, value in (("salt", kdf.salt), ("info", kdf.info)):
        if len(value) > MAX_CONTEXT_BYTES:
            raise InvalidInput(f"The {name} has up to {MAX_CONTEXT_BYTES} bytes, not {len(value)}.")
    return HKDF(HASHES[kdf.hkdf], kdf.length, kdf.salt, kdf.info).derive(secret)
