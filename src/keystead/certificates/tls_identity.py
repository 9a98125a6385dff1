"""The server's certificate chain: a first self-signed one, and checks of others."""

from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead import algorithms
from keystead.algorithms import PrivateKey
from keystead.certificates.alternative_names import alternative_names_of, parse_alternative_names
from keystead.certificates.csr import (
    SERVER_AND_CLIENT,
    SubjectName,
    distinguished_name,
    make_csr,
)
from keystead.errors import InvalidInput
from keystead.model.secret import Secret

# Trust in a self-signed certificate comes from its fingerprint, not from its dates. The clock of
# a machine that is not provisioned yet may be wrong, so the dates must not depend on it; and an
# HSM must not stop answering one day years later. RFC 5280, 4.1.2.5 gives the last date for
# certificates without a good one.
NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_LISTS = (x509.SubjectAlternativeName, x509.ExtendedKeyUsage)

MIN_RSA_BITS = 2048
"""NIST SP 800-57 part 1, 112 bits of security. OpenSSL rounds, and takes a little less."""

OWN_NAMES = ("keystead", "localhost", "IP:127.0.0.1", "IP:::1")


def make_tls_identity(
    common_name: str, subject_alt_names: Iterable[str] = ()
) -> tuple[Secret, bytes]:
    """Return a new P-256 key (PKCS#8 PEM) and its self-signed certificate (PEM)."""
    private = algorithms.BY_NAME["EC_P256"].generate(None)
    return _pkcs8(private), self_signed_chain(private, common_name, subject_alt_names)


def make_peer_request(host: str) -> tuple[Secret, bytes]:
    """Return a new P-256 key (PKCS#8 PEM) and a request (PEM) for a member's certificate.

    Raises InvalidInput if the host is neither a DNS name nor an address.
    """
    private = algorithms.BY_NAME["EC_P256"].generate(None)
    subject = SubjectName(common_name="keystead-witness", subject_alt_names=(host,))
    return _pkcs8(private), make_csr(private, subject, uses=SERVER_AND_CLIENT)


def require_answer(request_pem: bytes, chain_pem: bytes) -> None:
    """Raise InvalidInput unless the chain's first certificate has the request's key and names.

    It must be good for a server and for a client too, where it says what it is for.
    """
    request, certificate = x509.load_pem_x509_csr(request_pem), _certificates(chain_pem)[0]
    if request.public_key() != _public(certificate):
        raise InvalidInput("The certificate is not for the key of this request.")
    for wanted in request.extensions:
        if not isinstance(wanted.value, _LISTS):
            continue
        given = _value(certificate, wanted.oid)
        if given is None and isinstance(wanted.value, x509.ExtendedKeyUsage):
            continue
        if given is None or not set(wanted.value) <= set(given):
            raise InvalidInput("The certificate lacks a name or a usage of the request.")


def self_signed_chain(
    private: PrivateKey, common_name: str, subject_alt_names: Iterable[str] = ()
) -> bytes:
    """Return a server certificate of `private` in PEM, as slow as one of its signatures.

    It is good for `common_name` where that is a DNS name or an address, for the alternative
    names, written as in a request, and for `OWN_NAMES`.
    """
    signer = private.certificate_signer()
    name = distinguished_name(SubjectName(common_name=common_name))
    public = signer.key.public_key()
    names = (
        *(alternative_names_of(common_name) or ()),
        *parse_alternative_names((*subject_alt_names, *OWN_NAMES)),
    )
    builder = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.SubjectAlternativeName(dict.fromkeys(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(signer.key, signer.digest).public_bytes(Encoding.PEM)


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return the extension for a key that signs certificates alone, or everything but those."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def require_chain_of(private: PrivateKey, chain_pem: bytes) -> None:
    """Raise InvalidInput unless the chain is certificates in PEM and the first one is the key's."""
    if _public_pem(_certificates(chain_pem)[0]) != private.public_pem():
        raise InvalidInput("The public key in the certificate is not that of the private key.")


def require_strong_keys(chain_pem: bytes) -> None:
    """Raise InvalidInput if a certificate has an RSA key of less than MIN_RSA_BITS."""
    for certificate in _certificates(chain_pem):
        public = _public(certificate)
        if isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS:
            raise InvalidInput(
                f"An RSA key of {public.key_size} bits is too weak for TLS: it needs at least "
                f"{MIN_RSA_BITS}, as every one in the chain of certificates does."
            )


def fingerprint(chain_pem: bytes) -> str:
    """Return the SHA-256 of the chain's first certificate (DER), as hexadecimal digits."""
    return _certificates(chain_pem)[0].fingerprint(hashes.SHA256()).hex()


def _pkcs8(private: PrivateKey) -> Secret:
    key = private.certificate_signer().key
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _certificates(chain_pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(chain_pem)
    except ValueError:
        raise InvalidInput("There is no valid certificate in the PEM.") from None


def _value(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> Iterable[object] | None:
    """Return what an extension lists, or None without it."""
    try:
        listed = certificate.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None
    except ValueError:
        raise InvalidInput("The certificate has an extension that cannot be read.") from None
    return listed if isinstance(listed, _LISTS) else ()


def _public(certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    try:
        return certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        raise InvalidInput("The public key in the certificate is not supported.") from None


def _public_pem(certificate: x509.Certificate) -> bytes:
    return _public(certificate).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
