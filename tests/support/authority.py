"""A certificate authority for tests: signs requests and public keys, makes intermediates."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=36500)

MAY_SIGN_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
AUTHORITY = (x509.BasicConstraints(ca=True, path_length=None), MAY_SIGN_CERTIFICATES)


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """A self-signed authority, or one below another."""

    def __init__(
        self,
        common_name: str,
        *,
        extensions: tuple[x509.ExtensionType, ...] = AUTHORITY,
        above: "Authority | None" = None,
        key: CertificateIssuerPrivateKeyTypes | None = None,
    ) -> None:
        self.name = name(common_name)
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        signer = above or self
        self.certificate = signer.certify(self.key.public_key(), self.name, extensions)
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def certify(
        self,
        public: CertificatePublicKeyTypes,
        subject: x509.Name,
        extensions: tuple[x509.ExtensionType, ...] = (),
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            self.name, subject, public, x509.random_serial_number(), BEGIN, END
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        # Without them no client of Python 3.13 takes a chain (RFC 5280, 4.2.1.1 and 4.2.1.2).
        mine = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        its = x509.SubjectKeyIdentifier.from_public_key(public)
        builder = builder.add_extension(mine, critical=False).add_extension(its, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def sign(self, csr_pem: bytes) -> bytes:
        """Return a server certificate (PEM) for a request."""
        request = x509.load_pem_x509_csr(csr_pem)
        extensions = tuple(extension.value for extension in request.extensions)
        certificate = self.certify(request.public_key(), request.subject, extensions)
        return certificate.public_bytes(Encoding.PEM)


def weak_rsa_key(bits: int = 1024) -> rsa.RSAPrivateKey:
    """An RSA key that TLS libraries of today refuse in a chain."""
    return rsa.generate_private_key(65537, bits)


def weak_dsa_key() -> dsa.DSAPrivateKey:
    """A DSA key that they refuse as well."""
    return dsa.generate_private_key(1024)  # noqa: S505
