"""secp256k1 by Bitcoin Core's libsecp256k1: ECDSA, BIP-340, and the addition that BIP-32 needs.

The library works on secrets in constant time, in buffers that can be wiped.
"""

from secrets import token_bytes
from typing import Any, Final

import coincurve
from coincurve import ecdsa
from coincurve._libsecp256k1 import (  # type: ignore[import-not-found]  # compiled, no stubs
    ffi,
    lib,
)
from coincurve.context import GLOBAL_CONTEXT

from keystead.algorithms._algorithm import Algorithm
from keystead.errors import InvalidInput

SCALAR_BYTES: Final = 32
DIGEST_BYTES: Final = 32
BIP340_SIGNATURE_BYTES: Final = 64
AUXILIARY_BYTES: Final = 32
# SECP256K1_SCHNORRSIG_EXTRAPARAMS_MAGIC of secp256k1_schnorrsig.h
_EXTRAPARAMS_MAGIC: Final = b"\xda\x6f\xb3\x8c"
_CONTEXT: Final = GLOBAL_CONTEXT.ctx


def require_digest(algorithm: Algorithm, message: bytes) -> None:
    """Raise InvalidInput unless `message` has the length that ECDSA signs."""
    if len(message) != DIGEST_BYTES:
        raise InvalidInput(
            f"{algorithm.name} keys sign a digest of {DIGEST_BYTES} bytes, not {len(message)}."
        )


class Point:
    """A public key."""

    def __init__(self, point: coincurve.PublicKey, x_only: coincurve.PublicKeyXOnly) -> None:
        self._point = point
        self._x_only = x_only

    def encoded(self, *, compressed: bool = False) -> bytes:
        """Return the point as SEC 1 (2.3.3) has it."""
        return self._point.format(compressed)

    def verify_ecdsa(self, digest: bytes, signature: bytes) -> bool:
        """Return whether `signature`, in DER, is one of this digest; a high s is one as well."""
        try:
            # The library takes a low s only, as Bitcoin does.
            _, low = ecdsa.signature_normalize(ecdsa.der_to_cdata(signature))
        except ValueError:
            return False
        return bool(lib.secp256k1_ecdsa_verify(_CONTEXT, low, digest, self._point.public_key))

    def verify_bip340(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of this message by BIP-340."""
        if len(signature) != BIP340_SIGNATURE_BYTES:
            return False
        return self._x_only.verify(signature, message)


class Signer:
    """A private key, until it is wiped."""

    def __init__(self, scalar: Any) -> None:  # noqa: ANN401 - bytes, or a buffer of the library's
        """Raise ValueError unless the 32 bytes are a number between 1 and the curve's order."""
        self._secret = ffi.new("unsigned char[]", SCALAR_BYTES)
        ffi.memmove(self._secret, scalar, SCALAR_BYTES)
        self._keypair = ffi.new("secp256k1_keypair *")
        if not lib.secp256k1_keypair_create(_CONTEXT, self._keypair, self._secret):
            raise ValueError("not a private key of secp256k1")
        point, x_only = ffi.new("secp256k1_pubkey *"), ffi.new("secp256k1_xonly_pubkey *")
        lib.secp256k1_keypair_pub(_CONTEXT, point, self._keypair)
        lib.secp256k1_keypair_xonly_pub(_CONTEXT, x_only, ffi.NULL, self._keypair)
        self.public: Final = Point(coincurve.PublicKey(point), coincurve.PublicKeyXOnly(x_only))

    def wipe(self) -> None:
        """Overwrite the private key, which can sign nothing from here on."""
        for secret in (self._secret, self._keypair):
            buffer = ffi.buffer(secret)
            buffer[:] = bytes(len(buffer))

    def plus(self, tweak: bytes) -> "Signer":
        """Return the key whose number is this one's plus `tweak`, modulo the order.

        Raises ValueError if the tweak is not below the order, or the sum is 0.
        """
        total = ffi.new("unsigned char[]", SCALAR_BYTES)
        ffi.memmove(total, self._secret, SCALAR_BYTES)
        try:
            if not lib.secp256k1_ec_seckey_tweak_add(_CONTEXT, total, tweak):
                raise ValueError("not a private key of secp256k1")
            return Signer(total)
        finally:
            ffi.buffer(total)[:] = bytes(SCALAR_BYTES)

    def copy_to(self, target: memoryview) -> None:
        """Copy the private key into 32 bytes that the caller wipes."""
        target[:] = ffi.buffer(self._secret)

    def sign_ecdsa(self, digest: bytes) -> bytes:
        """Sign a digest of 32 bytes (RFC 6979); the signature is DER with a low s (BIP 146)."""
        signature = ffi.new("secp256k1_ecdsa_signature *")
        nonce = (ffi.NULL, ffi.NULL)
        if not lib.secp256k1_ecdsa_sign(_CONTEXT, signature, digest, self._secret, *nonce):
            raise ArithmeticError("an ECDSA operation failed")
        return ecdsa.cdata_to_der(signature)

    def sign_bip340(self, message: bytes) -> bytes:
        """Sign a message of any length; the signature has the 64 bytes of BIP-340."""
        # coincurve's own method takes 32 bytes only; BIP-340 signs a message of any length.
        auxiliary = ffi.new("unsigned char[]", token_bytes(AUXILIARY_BYTES))
        extra = ffi.new("secp256k1_schnorrsig_extraparams *")
        extra.magic = _EXTRAPARAMS_MAGIC
        extra.ndata = auxiliary
        signature = ffi.new("unsigned char[]", BIP340_SIGNATURE_BYTES)
        signed = lib.secp256k1_schnorrsig_sign_custom(
            _CONTEXT, signature, message, len(message), self._keypair, extra
        )
        octets = bytes(ffi.buffer(signature))
        # BIP-340 advises to verify before publishing: a faulty signature may tell the key.
        if not signed or not self.public.verify_bip340(message, octets):
            raise ArithmeticError("a BIP-340 operation gave a wrong result")
        return octets
