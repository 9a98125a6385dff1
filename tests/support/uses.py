"""A key used as its mechanisms say, without the rest of the HSM."""

from typing import Final

from keystead import algorithms
from keystead.algorithms import SIGN, Algorithm, Kdf, PrivateKey, Result, Use, mechanism_of

SIGNERS: Final[tuple[Algorithm, ...]] = tuple(
    row
    for row in algorithms.ALL
    if row.name not in {"Generic", "BIP32"} and any(one.use is SIGN for one in row.mechanisms)
)
"""Key types that sign certificate requests: those that sign and have one public half."""

OPTIONS: Final[dict[str, object]] = {
    "iv": bytes(16),
    "tag": bytes(16),
    "aad": b"?",
    "derivation": "m/0'/1",
    "signature": b"?",
    "context": b"?",
    "public_key": bytes(range(32)),
    "kdf": Kdf(hkdf="SHA256", length=32),
    "salt": b"?",
    "info": b"?",
    "length": 16,
}
"""A value for each option that a mechanism may have."""
MESSAGES: Final = (b"?", bytes(16), bytes(32), bytes(48), bytes(64), bytes(256))
"""One of these has a length that a mechanism takes."""


def use(key: PrivateKey, how: Use, mode: str, *message: bytes, **options: object) -> Result:
    """Return what the key makes of a message, if its use has one.

    Raises InvalidInput and DecryptionFailed.
    """
    mechanism = mechanism_of(key.algorithm, how, mode)
    mechanism.require_options(options)
    return mechanism.run(key, *message, **options)
