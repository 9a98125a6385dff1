"""The same signatures made in this process: what the crypto libraries give without a server."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from keystead.algorithms._libsecp256k1 import Signer

_DIGEST = bytes(range(32))
_SECONDS = 1.0


def _signer(key_type: str, length: int | None) -> Callable[[], bytes]:
    prehashed = Prehashed(hashes.SHA256())
    if key_type == "RSA":
        rsa_key = rsa.generate_private_key(65537, length or 2048)
        return lambda: rsa_key.sign(_DIGEST, padding.PKCS1v15(), prehashed)
    if key_type == "Curve25519":
        edwards_key = ed25519.Ed25519PrivateKey.generate()
        return lambda: edwards_key.sign(_DIGEST)
    if key_type == "EC_P256K1":
        koblitz_key = Signer(bytes(31) + b"\1")
        return lambda: koblitz_key.sign_ecdsa(_DIGEST)
    if key_type == "ML_DSA_65":
        lattice_key = mldsa.MLDSA65PrivateKey.generate()
        return lambda: lattice_key.sign(_DIGEST)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    return lambda: ec_key.sign(_DIGEST, ec.ECDSA(prehashed))


def signatures_per_second(key_type: str, length: int | None, *, threads: int = 1) -> float:
    """Return how many signatures of this type so many threads make in a second."""
    sign = _signer(key_type, length)
    sign()

    def run(_: int) -> float:
        began = time.perf_counter()
        count = 0
        while time.perf_counter() - began < _SECONDS:
            sign()
            count += 1
        return count / (time.perf_counter() - began)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(run, range(threads)))
