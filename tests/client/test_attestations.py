"""An attestation is verified without the HSM; a changed, old or foreign one is not."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.client.attestations import AttestationInvalid, verify_attestation
from keystead.errors import InvalidInput

KEY = Ed25519PrivateKey.generate()
NONCE = bytes(range(8))
HEADER = {"alg": "EdDSA", "typ": "keystead-attestation+jws"}
CLAIMS = {"keyId": "signer", "nonce": base64.b64encode(NONCE).decode()}


def pem_of(private) -> bytes:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def part(content: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")


def token(header: object = HEADER, claims: object = CLAIMS, key: Ed25519PrivateKey = KEY) -> bytes:
    signed = part(header) + b"." + part(claims)
    return signed + b"." + base64.urlsafe_b64encode(key.sign(signed)).rstrip(b"=")


DEEP = base64.urlsafe_b64encode(b"[" * 99_999).rstrip(b"=")


def verify(jws: bytes, *, identity: bytes = pem_of(KEY), nonce: bytes = NONCE) -> dict:
    return verify_attestation(jws, identity_pem=identity, nonce=nonce)


def test_it_says_what_was_signed():
    assert verify(token()) == verify(token() + b"\n") == CLAIMS


def test_another_identity_or_nonce_is_refused():
    with pytest.raises(AttestationInvalid, match="NOT that of this identity"):
        verify(token(key=Ed25519PrivateKey.generate()))
    with pytest.raises(AttestationInvalid, match="nonce"):
        verify(token(), nonce=bytes(8))
    with pytest.raises(AttestationInvalid, match="nonce"):
        verify(token(claims={"keyId": "signer"}))


def test_no_changed_byte_is_taken():
    jws = token()
    for place in range(len(jws)):
        changed = jws[:place] + bytes([jws[place] ^ 1]) + jws[place + 1 :]
        with pytest.raises(AttestationInvalid):
            verify(changed)


@pytest.mark.parametrize(
    "jws",
    [
        b"",
        b"a.b",
        b"a.b.c.d",
        b"?.?.?",
        token(header=[]),
        token(header={**HEADER, "alg": "none"}),
        token(header={**HEADER, "alg": "HS256"}),
        token(header={"alg": "EdDSA", "typ": "JWT"}),
        token(header={**HEADER, "crit": ["exp"], "exp": 1}),
        token(header={**HEADER, "crit": ["b64"], "b64": False}),
        token(claims=[]),
        token(claims={**CLAIMS, "nonce": "\u00e4"}),
        token(claims={**CLAIMS, "nonce": "\ud800"}),
        token(claims={**CLAIMS, "nonce": [[]]}),
        DEEP + b"." + part({}) + b".AA",
        part("x")[:-1] + b"." + part({}) + b".AA",
        token() + b"=",
        token().replace(b".", b"=.", 1),
    ],
)
def test_what_is_no_attestation_is_refused(jws):
    with pytest.raises(AttestationInvalid):
        verify(jws)


def test_an_identity_is_an_ed25519_key_or_its_certificates():
    with pytest.raises(InvalidInput, match="Ed25519"):
        verify(token(), identity=pem_of(ec.generate_private_key(ec.SECP256R1())))
    for pem in (b"", b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(InvalidInput, match="neither"):
            verify(token(), identity=pem)
