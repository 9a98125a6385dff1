"""Attestations of an HSM, verified without the HSM."""

import base64
import binascii
import hmac
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead.client.json_text import parse_json
from keystead.errors import InvalidInput

ALGORITHM: Final = "EdDSA"
JWS_TYPE: Final = "keystead-attestation+jws"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_PARTS: Final = 3


class AttestationInvalid(InvalidInput):
    """The attestation is not one that this identity signed for this nonce."""


def verify_attestation(token: bytes, *, identity_pem: bytes, nonce: bytes) -> dict[str, Any]:
    """Return what an attestation says.

    `token` is the JWS as it came. `identity_pem` is the identity's public key, or its certificate
    and those of its issuers; whether the issuers are to be trusted is not checked. Raises
    AttestationInvalid unless the identity signed it and it has this nonce.
    """
    parts = token.strip().split(b".")
    if len(parts) != _PARTS:
        raise AttestationInvalid("This is not a JWS in compact serialization.")
    header = _object(parts[0])
    if (header.get("alg"), header.get("typ")) != (ALGORITHM, JWS_TYPE):
        raise AttestationInvalid("This JWS is not an attestation of Keystead.")
    if "crit" in header:  # RFC 7515, 4.1.11: who does not know what it names must refuse.
        raise AttestationInvalid("This JWS asks for extensions that no attestation has.")
    try:
        _identity(identity_pem).verify(_decoded(parts[2]), b".".join(parts[:2]))
    except InvalidSignature:
        raise AttestationInvalid("The signature is NOT that of this identity.") from None
    claims = _object(parts[1])
    signed = str(claims.get("nonce")).encode("utf-8", "surrogatepass")
    if not hmac.compare_digest(signed, base64.b64encode(nonce)):
        raise AttestationInvalid("The attestation is for another nonce: it may be an old one.")
    return claims


def _identity(pem: bytes) -> Ed25519PublicKey:
    try:
        if _CERTIFICATE in pem:
            public: object = x509.load_pem_x509_certificates(pem)[0].public_key()
        else:
            public = load_pem_public_key(pem)
    except ValueError:
        raise InvalidInput(
            "The identity is neither a public key nor certificates in PEM."
        ) from None
    if not isinstance(public, Ed25519PublicKey):
        raise InvalidInput("The identity's key is not an Ed25519 key.")
    return public


def _object(part: bytes) -> dict[str, Any]:
    try:
        decoded = parse_json(_decoded(part))
    except ValueError:
        raise AttestationInvalid("This is not a JWS: a part of it is not JSON.") from None
    if not isinstance(decoded, dict):
        raise AttestationInvalid("This is not a JWS: a part of it is not a JSON object.")
    return decoded


def _decoded(part: bytes) -> bytes:
    """Return what base64url without padding stands for (RFC 7515, section 2)."""
    try:
        decoded = base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise AttestationInvalid("This is not a JWS: a part of it is not base64url.") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise AttestationInvalid("This is not a JWS: a part of it is not base64url.")
    return decoded
