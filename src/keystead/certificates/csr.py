"""Certificate signing requests (PKCS #10, RFC 2986) for keys that stay inside."""

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keystead.algorithms import PrivateKey
from keystead.certificates.alternative_names import alternative_names_of, parse_alternative_names
from keystead.errors import InvalidInput

MAX_COMMON_NAME_BYTES = 64  # RFC 5280, A.1: ub-common-name
MAX_ATTRIBUTE_LENGTH = 1024

_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectName:
    """What a request says of its subject; empty attributes are left out.

    `subject_alt_names` are DNS names, or addresses after `IP:`. None stands for the common name,
    where that is a DNS name or an address; an empty tuple for none.
    """

    common_name: str
    country: str = ""
    state: str = ""
    locality: str = ""
    organization: str = ""
    organizational_unit: str = ""
    email: str = ""
    subject_alt_names: tuple[str, ...] | None = None


def make_csr(private: PrivateKey, subject: SubjectName) -> bytes:
    """Return a request in PEM, signed by `private`; InvalidInput says what does not fit in one.

    As slow as a signature of the key.
    """
    signer = private.certificate_signer()
    builder = x509.CertificateSigningRequestBuilder().subject_name(distinguished_name(subject))
    names = _alternative_names(subject)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer.key, signer.digest).public_bytes(Encoding.PEM)


def _alternative_names(subject: SubjectName) -> x509.SubjectAlternativeName | None:
    if subject.subject_alt_names is None:
        return alternative_names_of(subject.common_name)
    if not subject.subject_alt_names:
        return None
    return parse_alternative_names(subject.subject_alt_names)


def distinguished_name(subject: SubjectName) -> x509.Name:
    """Return the subject as an X.501 name; InvalidInput says which attribute does not fit."""
    if not subject.common_name:
        raise InvalidInput("commonName is empty.")
    if len(subject.common_name.encode(errors="replace")) > MAX_COMMON_NAME_BYTES:
        raise InvalidInput(f"commonName is longer than {MAX_COMMON_NAME_BYTES} bytes.")
    if subject.country and not _COUNTRY.fullmatch(subject.country):
        raise InvalidInput("countryName is not two letters (ISO 3166).")
    if not subject.email.isascii():
        raise InvalidInput("emailAddress is not ASCII.")
    attributes = (
        ("commonName", NameOID.COMMON_NAME, subject.common_name),
        ("countryName", NameOID.COUNTRY_NAME, subject.country),
        ("localityName", NameOID.LOCALITY_NAME, subject.locality),
        ("stateOrProvinceName", NameOID.STATE_OR_PROVINCE_NAME, subject.state),
        ("organizationName", NameOID.ORGANIZATION_NAME, subject.organization),
        ("organizationalUnitName", NameOID.ORGANIZATIONAL_UNIT_NAME, subject.organizational_unit),
        ("emailAddress", NameOID.EMAIL_ADDRESS, subject.email),
    )
    return x509.Name([_attribute(*attribute) for attribute in attributes if attribute[2]])


def _attribute(field: str, oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    # A NUL or another control character makes readers disagree about where a name ends.
    if not value.isprintable():
        raise InvalidInput(f"{field} has a character that cannot be printed.")
    if len(value) > MAX_ATTRIBUTE_LENGTH:
        raise InvalidInput(f"{field} is longer than {MAX_ATTRIBUTE_LENGTH} characters.")
    return x509.NameAttribute(oid, value)
