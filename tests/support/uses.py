"""A key used as its mechanisms say, without the rest of the HSM."""

from typing import Final

from keystead import algorithms
from keystead.algorithms import SIGN, Algorithm, PrivateKey, Result, Use, mechanism_of

SIGNERS: Final[tuple[Algorithm, ...]] = tuple(
    row
    for row in algorithms.ALL
    if row.name != "Generic" and any(one.use is SIGN for one in row.mechanisms)
)
"""Key types that sign and have a public half, which anybody verifies with."""


def use(key: PrivateKey, how: Use, mode: str, *message: bytes, **options: object) -> Result:
    """Return what the key makes of a message, if its use has one.

    Raises InvalidInput and DecryptionFailed.
    """
    mechanism = mechanism_of(key.algorithm, how, mode)
    mechanism.require_options(options)
    return mechanism.run(key, *message, **options)
