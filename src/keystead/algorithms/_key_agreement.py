"""Diffie-Hellman on elliptic curves: the other party's public key, and the secret with it."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import load_der_public_key

from keystead.algorithms._algorithm import Mechanism
from keystead.algorithms._key_derivation import derive as derive_by
from keystead.algorithms._uses import DERIVE, KDF, PUBLIC_KEY, Kdf
from keystead.errors import InvalidInput

MAX_PUBLIC_KEY_BYTES: Final = 1024
"""A SubjectPublicKeyInfo of P-521 has 158, with explicit parameters 600."""

_UNCOMPRESSED: Final = b"\x04"


def agreement_row(derive: Callable[..., bytes], *, works_slowly: bool = False) -> Mechanism:
    """Return the row of ECDH, which derive(key, public_key, kdf) does."""
    return Mechanism(
        "ECDH_Derivation",
        DERIVE,
        "ECDH",
        derive,
        needs=(PUBLIC_KEY,),
        options=(KDF,),
        works_slowly=works_slowly,
    )


def agree_on_curve(
    key: ec.EllipticCurvePrivateKey, public_key: bytes, kdf: Kdf | None = None
) -> bytes:
    """Return the x coordinate of the shared point (SEC 1, 3.3.1), or what `kdf` makes of it.

    `public_key` is SubjectPublicKeyInfo in DER or an uncompressed point. Raises InvalidInput unless
    it is a point of the key's curve, and if the secret is all zeros. All these curves have
    cofactor 1: no point has a small order.
    """
    peer = _point(public_key, key.curve)
    return _secret(partial(key.exchange, ec.ECDH(), peer), kdf)


def agree_by_montgomery(
    key: x25519.X25519PrivateKey | x448.X448PrivateKey, public_key: bytes, kdf: Kdf | None = None
) -> bytes:
    """Return the secret of RFC 7748, of 32 or 56 bytes, or what `kdf` makes of it.

    `public_key` is SubjectPublicKeyInfo in DER or the raw public key, of 32 bytes (X25519) or 56
    (X448). Raises InvalidInput for a point of small order, because the secret would then be zeros.
    """
    if isinstance(key, x25519.X25519PrivateKey):
        peer = _montgomery(public_key, x25519.X25519PublicKey, 32)
    else:
        peer = _montgomery(public_key, x448.X448PublicKey, 56)
    return _secret(partial(key.exchange, peer), kdf)


def _secret(exchange: Callable[[], bytes], kdf: Kdf | None) -> bytes:
    try:
        secret = exchange()
    except ValueError:  # RFC 7748, 6.1: the result is all zeros.
        raise InvalidInput("The publicKey is a point of small order.") from None
    if not any(
        secret
    ):  # On P-256, a valid point has the x coordinate 0; everyone would know the secret.
        raise InvalidInput("The secret with this publicKey is all zeros.")
    return secret if kdf is None else derive_by(secret, kdf)


def _point(sent: bytes, curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    size = (curve.key_size + 7) // 8
    if len(sent) == 1 + 2 * size and sent.startswith(_UNCOMPRESSED):
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, sent)
        except ValueError:
            raise InvalidInput("The publicKey is not a point of the key's curve.") from None
    peer = _parsed(sent)
    if peer is None:
        raise InvalidInput(
            "The publicKey is neither a SubjectPublicKeyInfo in DER nor "
            f"an uncompressed point of {1 + 2 * size} bytes."
        )
    if not isinstance(peer, ec.EllipticCurvePublicKey):
        raise InvalidInput("The publicKey is not one of an elliptic curve in Weierstrass form.")
    if peer.curve.name != curve.name:
        raise InvalidInput(f"The publicKey is on the curve {peer.curve.name}, not {curve.name}.")
    return peer


def _montgomery(sent: bytes, kind: Any, size: int) -> Any:  # noqa: ANN401 - pyca's are abstract
    if len(sent) == size:
        return kind.from_public_bytes(sent)
    peer = _parsed(sent)
    if peer is None:
        raise InvalidInput(
            f"The publicKey is neither a SubjectPublicKeyInfo in DER nor has it {size} bytes."
        )
    if not isinstance(peer, kind):
        raise InvalidInput("The publicKey is one of another curve.")
    return peer


def _parsed(sent: bytes) -> object | None:
    """Return the public key in a SubjectPublicKeyInfo; None if it holds no sound one."""
    if len(sent) > MAX_PUBLIC_KEY_BYTES:
        return None
    try:
        return load_der_public_key(sent)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
