"""secp256k1 by Bitcoin Core's libsecp256k1: ECDSA, BIP-340, and the addition that BIP-32 needs.

The library works on secrets in constant time, in buffers that can be wiped.
"""

from secrets import token_bytes
from typing import Any, Final

# The package btclib_libsecp256k1 around it loads what is not needed, and makes callbacks in memory
# that can be written and executed.
from _btclib_libsecp256k1 import (  # type: ignore[import-not-found]  # compiled, no stubs
    ffi,
    lib,
)

from keystead.algorithms._algorithm import Algorithm
from keystead.errors import InvalidInput

SCALAR_BYTES: Final = 32
DIGEST_BYTES: Final = 32
BIP340_SIGNATURE_BYTES: Final = 64
AUXILIARY_BYTES: Final = 32
_SEED_BYTES: Final = 32
_MOST_DER_BYTES: Final = 72
# These are macros of secp256k1.h and secp256k1_schnorrsig.h: SECP256K1_CONTEXT_NONE,
# SECP256K1_EC_UNCOMPRESSED, SECP256K1_EC_COMPRESSED, SECP256K1_SCHNORRSIG_EXTRAPARAMS_MAGIC.
_CONTEXT_NONE: Final = 1
_UNCOMPRESSED: Final = (2, 65)
"""The flag of this form of a point, and its bytes."""
_COMPRESSED: Final = (258, 33)
_EXTRAPARAMS_MAGIC: Final = b"\xda\x6f\xb3\x8c"


def _new_context() -> Any:  # noqa: ANN401 - an opaque pointer
    """Return a context that hides by random numbers what it computes with secrets."""
    context = lib.secp256k1_context_create(_CONTEXT_NONE)
    if not lib.secp256k1_context_randomize(context, token_bytes(_SEED_BYTES)):
        raise ArithmeticError("libsecp256k1 takes no random numbers")
    return context


_CONTEXT: Final = _new_context()


def require_digest(algorithm: Algorithm, message: bytes) -> None:
    """Raise InvalidInput unless `message` has the length that ECDSA signs."""
    if len(message) != DIGEST_BYTES:
        raise InvalidInput(
            f"{algorithm.name} keys sign a digest of {DIGEST_BYTES} bytes, not {len(message)}."
        )


class Point:
    """A public key."""

    def __init__(self, point: Any) -> None:  # noqa: ANN401 - the library's
        """Take a `secp256k1_pubkey *`."""
        self._point = point
        self._x_only = ffi.new("secp256k1_xonly_pubkey *")
        lib.secp256k1_xonly_pubkey_from_pubkey(_CONTEXT, self._x_only, ffi.NULL, point)

    def encoded(self, *, compressed: bool = False) -> bytes:
        """Return the point as SEC 1 (2.3.3) has it."""
        form, length = _COMPRESSED if compressed else _UNCOMPRESSED
        encoded, size = ffi.new("unsigned char[]", length), ffi.new("size_t *", length)
        lib.secp256k1_ec_pubkey_serialize(_CONTEXT, encoded, size, self._point, form)
        return bytes(ffi.buffer(encoded))

    def verify_ecdsa(self, digest: bytes, signature: bytes) -> bool:
        """Return whether `signature`, in DER, is one of this digest; a high s is one as well."""
        parsed = ffi.new("secp256k1_ecdsa_signature *")
        size = len(signature)
        if not lib.secp256k1_ecdsa_signature_parse_der(_CONTEXT, parsed, signature, size):
            return False
        # The library takes a low s only, as Bitcoin does.
        lib.secp256k1_ecdsa_signature_normalize(_CONTEXT, parsed, parsed)
        return bool(lib.secp256k1_ecdsa_verify(_CONTEXT, parsed, digest, self._point))

    def verify_bip340(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of this message by BIP-340."""
        if len(signature) != BIP340_SIGNATURE_BYTES:
            return False
        size = len(message)
        return bool(
            lib.secp256k1_schnorrsig_verify(_CONTEXT, signature, message, size, self._x_only)
        )


class Signer:
    """A private key, until it is wiped."""

    def __init__(self, scalar: Any) -> None:  # noqa: ANN401 - bytes, or a buffer of the library's
        """Raise ValueError unless the 32 bytes are a number between 1 and the curve's order."""
        self._secret = ffi.new("unsigned char[]", SCALAR_BYTES)
        ffi.memmove(self._secret, scalar, SCALAR_BYTES)
        self._keypair = ffi.new("secp256k1_keypair *")
        if not lib.secp256k1_keypair_create(_CONTEXT, self._keypair, self._secret):
            raise ValueError("not a private key of secp256k1")
        point = ffi.new("secp256k1_pubkey *")
        lib.secp256k1_keypair_pub(_CONTEXT, point, self._keypair)
        self.public: Final = Point(point)

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
        der, size = (
            ffi.new("unsigned char[]", _MOST_DER_BYTES),
            ffi.new("size_t *", _MOST_DER_BYTES),
        )
        lib.secp256k1_ecdsa_signature_serialize_der(_CONTEXT, der, size, signature)
        return bytes(ffi.buffer(der, size[0]))

    def sign_bip340(self, message: bytes) -> bytes:
        """Sign a message of any length; the signature has the 64 bytes of BIP-340."""
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
