"""The same signatures made in this process: what the crypto library gives one core."""

import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

_DIGEST = bytes(32)
_SECONDS = 1.0


def _signer(key_type: str, length: int | None) -> Callable[[], bytes]:
    prehashed = Prehashed(hashes.SHA256())
    if key_type == "RSA":
        rsa_key = rsa.generate_private_key(65537, length or 2048)
        return lambda: rsa_key.sign(_DIGEST, padding.PKCS1v15(), prehashed)
    if key_type == "Curve25519":
        edwards_key = ed25519.Ed25519PrivateKey.generate()
        return lambda: edwards_key.sign(_DIGEST)
    curve = ec.SECP256R1() if key_type == "EC_P256" else ec.SECP256K1()
    ec_key = ec.generate_private_key(curve)
    return lambda: ec_key.sign(_DIGEST, ec.ECDSA(prehashed))


def signatures_per_second(key_type: str, length: int | None) -> float:
    """Return how many signatures of this type one thread makes in a second."""
    sign = _signer(key_type, length)
    sign()
    began = time.perf_counter()
    count = 0
    while time.perf_counter() - began < _SECONDS:
        sign()
        count += 1
    return count / (time.perf_counter() - began)
