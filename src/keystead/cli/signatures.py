"""What of a file a key signs, and the check of signatures with the public key alone."""

import hashlib
from typing import BinaryIO, Final, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead.cli.exit_status import UsageError
from keystead.client.client import Json
from keystead.client.digest_info import digest_info
from keystead.errors import InvalidInput

HASHES: Final = {
    "md5": hashes.MD5(),  # noqa: S303 - an HSM signs with it when it is told to
    "sha1": hashes.SHA1(),  # noqa: S303 - as above
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
LONGEST_HASH_BITS: Final = 512
_PSS: Final = "PSS_"
_PKCS1: Final = "PKCS1"
_ECDSA: Final = "ECDSA"
_BIP340: Final = "BIP340"


class SignatureInvalid(InvalidInput):
    """The signature was not made with this key over this message."""


class Scheme(NamedTuple):
    """How a key signs: the API's mode, and the hash of the message, None if it takes it whole."""

    mode: str
    hash_name: str | None

    def prepared(self, digest: bytes) -> bytes:
        """Return what is sent to be signed for a digest, or for a message that is taken whole."""
        if self.hash_name is not None and self.mode == _PKCS1:
            return digest_info(self.hash_name, digest)
        return digest


def scheme_of(public_pem: bytes, mode: str, hash_name: str | None) -> Scheme:
    """Return how this key signs in this mode; `hash_name` is what the user asks for, if anything.

    Raises UsageError for a hash that the mode does not leave open.
    """
    fixed = _hash_of(public_pem, mode)
    if mode == _PKCS1:
        return Scheme(mode, hash_name or "sha256")
    if hash_name is not None and hash_name != fixed:
        raise UsageError(f"{mode} with this key takes {fixed or 'the message itself'}.")
    return Scheme(mode, fixed)


def usual_mode(public_pem: bytes) -> str:
    """Return the mode of a public key whose mechanisms are not known."""
    match load_pem_public_key(public_pem):
        case rsa.RSAPublicKey():
            return _PKCS1
        case ec.EllipticCurvePublicKey():
            return _ECDSA
        case _:
            return "EdDSA"


def digest_of(file: BinaryIO, scheme: Scheme) -> bytes:
    """Return the file's digest, or all of it if the key takes the message whole."""
    if scheme.hash_name is None:
        return file.read()
    hashed = hashlib.new(scheme.hash_name, usedforsecurity=scheme.hash_name not in {"md5", "sha1"})
    while part := file.read(1 << 20):
        hashed.update(part)
    return hashed.digest()


def verify(public_pem: bytes, scheme: Scheme, digest: bytes, signature: bytes) -> None:
    """Check a signature over what `digest_of` returned. Raises SignatureInvalid if it is wrong."""
    try:
        _verify(public_pem, scheme, digest, signature)
    except (InvalidSignature, ValueError):
        raise SignatureInvalid("The signature is NOT valid.") from None


def raw_of(public_pem: bytes, signature: bytes) -> bytes:
    """Return an ECDSA signature in DER as r and s, each as long as the curve (RFC 7518, 3.4)."""
    size = _point_bytes(public_pem)
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size) + s.to_bytes(size)


def der_of(public_pem: bytes, signature: bytes) -> bytes:
    """Return an ECDSA signature of r and s, each as long as the curve, in DER."""
    size = _point_bytes(public_pem)
    if len(signature) != 2 * size:
        raise SignatureInvalid("The signature is NOT valid: it is too short or too long.")
    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))


def _hash_of(public_pem: bytes, mode: str) -> str | None:
    if mode.startswith(_PSS):
        return mode.removeprefix(_PSS).lower()
    if mode != _ECDSA:
        return None
    # FIPS 186-5: a hash as long as the curve's order; of P-521, the longest there is.
    return f"sha{min(_curve(public_pem).key_size, LONGEST_HASH_BITS)}"


def _point_bytes(public_pem: bytes) -> int:
    return (_curve(public_pem).key_size + 7) // 8


def _curve(public_pem: bytes) -> ec.EllipticCurve:
    public = load_pem_public_key(public_pem)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise UsageError("ECDSA, and the raw form of its signatures, are for elliptic curves.")
    return public.curve


def _verify(public_pem: bytes, scheme: Scheme, digest: bytes, signature: bytes) -> None:
    name = scheme.hash_name
    unknown = UsageError(f"This client cannot check {scheme.mode}: --on-hsm asks the HSM.")
    try:
        public: Json = load_pem_public_key(public_pem)
    except UnsupportedAlgorithm:
        raise unknown from None
    if name is not None and name not in HASHES:
        raise unknown
    if isinstance(public, rsa.RSAPublicKey) and name is not None:
        hashed = HASHES[name]
        pss = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
        scheme_padding = padding.PKCS1v15() if scheme.mode == _PKCS1 else pss
        public.verify(signature, digest, scheme_padding, Prehashed(hashed))
    elif isinstance(public, ec.EllipticCurvePublicKey) and name is not None:
        public.verify(signature, digest, ec.ECDSA(Prehashed(HASHES[name])))
    elif scheme.mode == _BIP340 or not hasattr(public, "verify"):
        raise unknown
    else:  # Ed25519, Ed448, ML-DSA: the message as it is.
        public.verify(signature, digest)
