"""A key used as its mechanisms say, without the rest of the HSM."""

from keystead.algorithms import PrivateKey, Result, Use, mechanism_of


def use(key: PrivateKey, how: Use, mode: str, message: bytes, **options: bytes) -> Result:
    """Return what the key makes of `message`. Raises InvalidInput and DecryptionFailed."""
    mechanism = mechanism_of(key.algorithm, how, mode)
    mechanism.require_options(options)
    return mechanism.run(key, message, **options)
