"""From passphrases to keys and verifiers: scrypt (RFC 7914), slow on purpose.

Every function here takes a good part of a second and as much memory as its cost says: callers run
them in a small pool of threads. The derivation releases the GIL.
"""

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keystead.errors import NotAuthenticated
from keystead.model.secret import Secret
from keystead.model.users import PassphraseVerifier, ScryptParameters

UNLOCK_COST = ScryptParameters(n=2**14, r=8, p=16)
"""The cost of unlock keys, which needs 16 MiB. It is fixed, because backups of a NetHSM have it."""

VERIFIER_COST = ScryptParameters(n=2**14, r=8, p=5)
"""One of the equivalent settings that OWASP's Password Storage Cheat Sheet recommends. 16 MiB."""

SALT_BYTES = 16
_DIGEST_BYTES = 32


def _scrypt(passphrase: Secret, salt: bytes, cost: ScryptParameters) -> bytes:
    kdf = Scrypt(salt=salt, length=_DIGEST_BYTES, n=cost.n, r=cost.r, p=cost.p)
    return kdf.derive(passphrase.reveal())


def derive_unlock_key(
    passphrase: Secret, salt: bytes, *, cost: ScryptParameters = UNLOCK_COST
) -> Secret:
    """Return the 32-byte key of an unlock or backup passphrase and its 16-byte salt."""
    return Secret(_scrypt(passphrase, salt, cost))


def make_verifier(
    passphrase: Secret, *, cost: ScryptParameters = VERIFIER_COST
) -> PassphraseVerifier:
    """Return a new verifier of `passphrase`, with a fresh 16-byte salt."""
    salt = os.urandom(SALT_BYTES)
    return PassphraseVerifier(salt=salt, digest=_scrypt(passphrase, salt, cost), scrypt=cost)


def dummy_verifier(*, cost: ScryptParameters = VERIFIER_COST) -> PassphraseVerifier:
    """Return a verifier that no passphrase fits.

    It is used for unknown users. The response then takes as long as for a wrong passphrase, and
    does not reveal which users exist.
    """
    return PassphraseVerifier(
        salt=os.urandom(SALT_BYTES), digest=os.urandom(_DIGEST_BYTES), scrypt=cost
    )


def verify(
    verifier: PassphraseVerifier, passphrase: Secret, *, cost: ScryptParameters = VERIFIER_COST
) -> None:
    """Raise NotAuthenticated unless `passphrase` is right. Compares in constant time.

    A verifier without scrypt parameters is a digest restored from a NetHSM. Both kinds are computed
    for each user, the missing scrypt with `cost`, so that the time does not reveal the kind.
    """
    derived = _scrypt(passphrase, verifier.salt, verifier.scrypt or cost)
    keyed = hmac.digest(verifier.salt, passphrase.reveal(), hashlib.sha256)
    computed = derived if verifier.scrypt else keyed
    if not hmac.compare_digest(computed, verifier.digest):
        raise NotAuthenticated("Bad credentials.")


def needs_renewal(verifier: PassphraseVerifier, *, cost: ScryptParameters = VERIFIER_COST) -> bool:
    """Whether the verifier is cheaper to attack than a new one of `cost` would be."""
    if verifier.scrypt is None:
        return True
    kept = verifier.scrypt
    return kept.n * kept.r < cost.n * cost.r or kept.n * kept.r * kept.p < cost.n * cost.r * cost.p
