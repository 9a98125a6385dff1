"""A certificate authority whose root and issuing keys stay in the HSM.

It keeps no database: certificates and lists are files, and the list says what is revoked.
"""

import datetime as dt
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from examples.connection import hsm, parser
from keystead.client import Client
from keystead.client.private_keys import private_key

PUBLISHED: Final = "http://pki.example.com"
"""Where people get certificates, lists and answers: change it to your own address."""
DAYS: Final = {"root": 3650, "issuing": 1825, "server": 90, "list": 7, "answer": 1}
_NO_USE: Final = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)
SERVER: Final = x509.KeyUsage(**_NO_USE | {"digital_signature": True})
AUTHORITY: Final = x509.KeyUsage(
    **_NO_USE | {"digital_signature": True, "key_cert_sign": True, "crl_sign": True}
)


def make_root(client: Client, given: Namespace) -> bytes:
    """Return the certificate that the root signs for itself, PEM."""
    key = private_key(client, given.key)
    name = _name("Example Root CA")
    builder = _certificate(name, name, key.public_key(), DAYS["root"])
    builder = _extended(builder, x509.BasicConstraints(ca=True, path_length=1), is_critical=True)
    builder = _extended(builder, AUTHORITY, is_critical=True)
    return builder.sign(key, hashes.SHA384()).public_bytes(Encoding.PEM)


def make_issuing(client: Client, given: Namespace) -> bytes:
    """Return the certificate of the issuing authority, signed by the root, PEM."""
    public = private_key(client, given.subject_key).public_key()
    root = _read(given.issuer)
    builder = _issued(root, _name("Example Issuing CA"), public, "issuing", given.issuer.stem)
    builder = _extended(builder, x509.BasicConstraints(ca=True, path_length=0), is_critical=True)
    builder = _extended(builder, AUTHORITY, is_critical=True)
    signed = builder.sign(private_key(client, given.key), hashes.SHA384())
    return signed.public_bytes(Encoding.PEM)


def issue(client: Client, given: Namespace) -> bytes:
    """Return a TLS server's certificate for a request (PEM): its key and DNS names, nothing more.

    Raises ValueError if the request is not signed by its own key.
    """
    request = x509.load_pem_x509_csr(given.request.read_bytes())
    if not request.is_signature_valid:
        raise ValueError("The request is not signed by its own key.")
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = [x509.DNSName(name) for name in names.get_values_for_type(x509.DNSName)]
    issuer = _read(given.issuer)
    subject = x509.Name([])
    builder = _issued(issuer, subject, request.public_key(), "server", given.issuer.stem)
    builder = _extended(
        builder, x509.BasicConstraints(ca=False, path_length=None), is_critical=True
    )
    builder = _extended(builder, SERVER, is_critical=True)
    builder = _extended(builder, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    builder = _extended(builder, x509.SubjectAlternativeName(hosts), is_critical=True)
    signed = builder.sign(private_key(client, given.key), hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


def revoke(client: Client, given: Namespace) -> bytes:
    """Return the next list of revoked certificates (PEM): those of the last list, and more."""
    issuer, now = _read(given.issuer), _now()
    builder = x509.CertificateRevocationListBuilder(
        issuer.subject, now, now + dt.timedelta(days=DAYS["list"])
    )
    number = 1
    if given.list:
        last = x509.load_pem_x509_crl(given.list.read_bytes())
        number += last.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for one in last:
            builder = builder.add_revoked_certificate(one)
    for file in given.certificates:
        serial = _read(file).serial_number
        revoked = x509.RevokedCertificateBuilder(serial, now)
        builder = builder.add_revoked_certificate(revoked.build())
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    signed = builder.sign(private_key(client, given.key), hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


def answer(client: Client, given: Namespace) -> bytes:
    """Return the OCSP response (DER) for a certificate, as the list has it."""
    issuer, certificate, now = _read(given.issuer), _read(given.certificate), _now()
    listed = x509.load_pem_x509_crl(given.list.read_bytes())
    found = listed.get_revoked_certificate_by_serial_number(certificate.serial_number)
    status = ocsp.OCSPCertStatus.REVOKED if found else ocsp.OCSPCertStatus.GOOD
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=certificate,
        issuer=issuer,
        algorithm=hashes.SHA1(),  # noqa: S303 - it names the certificate; clients expect it
        cert_status=status,
        this_update=now,
        next_update=now + dt.timedelta(days=DAYS["answer"]),
        revocation_time=found.revocation_date_utc if found else None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
    signed = builder.sign(private_key(client, given.key), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def _certificate(
    issuer: x509.Name, subject: x509.Name, public: CertificatePublicKeyTypes, days: int
) -> x509.CertificateBuilder:
    now = _now()
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + dt.timedelta(days=days) - dt.timedelta(seconds=1),
    )
    return _extended(builder, x509.SubjectKeyIdentifier.from_public_key(public))


def _issued(
    issuer: x509.Certificate,
    subject: x509.Name,
    public: CertificatePublicKeyTypes,
    kind: str,
    stem: str,
) -> x509.CertificateBuilder:
    """Return a certificate of an authority, with the addresses of what it publishes."""
    builder = _certificate(issuer.subject, subject, public, DAYS[kind])
    builder = _extended(builder, _authority_key(issuer))
    where = x509.UniformResourceIdentifier
    access = [
        x509.AccessDescription(oid, where(f"{PUBLISHED}/{path}"))
        for oid, path in (
            (AuthorityInformationAccessOID.CA_ISSUERS, f"{stem}.crt"),
            (AuthorityInformationAccessOID.OCSP, "ocsp"),
        )
    ]
    builder = _extended(builder, x509.AuthorityInformationAccess(access))
    lists = x509.DistributionPoint([where(f"{PUBLISHED}/{stem}.crl")], None, None, None)
    return _extended(builder, x509.CRLDistributionPoints([lists]))


def _extended(
    builder: x509.CertificateBuilder, extension: x509.ExtensionType, *, is_critical: bool = False
) -> x509.CertificateBuilder:
    return builder.add_extension(extension, critical=is_critical)


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _name(common_name: str) -> x509.Name:
    names = ((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Example"))
    attributes = [x509.NameAttribute(*one) for one in (*names, (NameOID.COMMON_NAME, common_name))]
    return x509.Name(attributes)


def _read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _commands() -> ArgumentParser:
    top = parser(__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, run, files in (
        ("root", make_root, ()),
        ("issuing", make_issuing, ("--issuer",)),
        ("issue", issue, ("--issuer", "--request")),
        ("revoke", revoke, ("--issuer",)),
        ("ocsp", answer, ("--issuer", "--certificate", "--list")),
    ):
        command = commands.add_parser(name, help=(run.__doc__ or "").partition("\n")[0])
        command.set_defaults(run=run)
        command.add_argument("--key", required=True, help="the key in the HSM that signs")
        for file in ("--output", *files):
            command.add_argument(file, type=Path, required=True, metavar="FILE")
        if run is make_issuing:
            command.add_argument("--subject-key", required=True, help="the key that is certified")
        if run is revoke:
            command.add_argument("--list", type=Path, metavar="FILE", help="the last list")
            command.add_argument("certificates", type=Path, nargs="*", metavar="CERTIFICATE")
    return top


def main() -> None:
    """Write what is asked for."""
    given = _commands().parse_args()
    with hsm(given) as client:
        given.output.write_bytes(given.run(client, given))


if __name__ == "__main__":
    main()
