"""The identity of a device: an Ed25519 key, its certificate, and what it signs.

The certificate is issued by a root that is made for this device alone. The private key of the root
signs the certificate and is forgotten, so that nothing else can ever be issued under that root.
"""

import base64
import hashlib
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead import algorithms
from keystead.algorithms import PrivateKey
from keystead.certificates.csr import SubjectName, distinguished_name
from keystead.certificates.tls_identity import NOT_AFTER, NOT_BEFORE, key_usage
from keystead.model.keys import PrivateMaterial
from keystead.model.secret import Secret

KEY_TYPE: Final = "Curve25519"
JWS_TYPE: Final = "keystead-attestation+jws"
"""The `typ` of attestations (RFC 7515, 4.1.9)."""


def make_identity(device_id: str) -> tuple[Secret, bytes]:
    """Return a new key (PKCS#8 PEM), and its certificate and root as a chain (PEM)."""
    private = algorithms.BY_NAME[KEY_TYPE].generate(None)
    return Secret(private.material().pem or b""), _chain(private, device_id)


def load_identity(key: Secret) -> PrivateKey:
    """Return the key of an identity."""
    return algorithms.load(PrivateMaterial(pem=key.reveal()))


def sign_compact(private: PrivateKey, claims: msgspec.Struct) -> bytes:
    """Return `claims` as a JWS in compact serialization (RFC 7515, 7.1), signed with EdDSA.

    `kid` is the SHA-256 of the identity's SubjectPublicKeyInfo, in hexadecimal digits.
    """
    signer = private.certificate_signer().key
    if not isinstance(signer, Ed25519PrivateKey):
        raise TypeError("the key of an identity is Ed25519")
    public = signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "EdDSA", "typ": JWS_TYPE, "kid": hashlib.sha256(public).hexdigest()}
    signed = b".".join((_url(msgspec.json.encode(header)), _url(msgspec.json.encode(claims))))
    return b".".join((signed, _url(signer.sign(signed))))


def _chain(private: PrivateKey, device_id: str) -> bytes:
    name = f"keystead-{device_id.lower()}"
    root, signer = Ed25519PrivateKey.generate(), private.certificate_signer()
    issuer = distinguished_name(SubjectName(common_name=f"{name} root"))
    authority = (
        _builder(issuer, issuer, root.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .sign(root, None)
    )
    certificate = (
        _builder(
            distinguished_name(SubjectName(common_name=f"{name} identity")),
            issuer,
            signer.key.public_key(),
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False
        )
        .sign(root, None)
    )
    return b"".join(one.public_bytes(Encoding.PEM) for one in (certificate, authority))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: CertificatePublicKeyTypes
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _url(content: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=")
