"""Certificate signing requests (PKCS #10, RFC 2986) for keys in the HSM."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keystead.algorithms import PrivateKey
from keystead.certificates.alternative_names import alternative_names_of, parse_alternative_names
from keystead.errors import InvalidInput

SERVER_AND_CLIENT: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)


class SubjectName(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of its subject; empty attributes are left out.

    `subject_alt_names` are DNS names and addresses, with or without `IP:`. None stands for the
    common name, where that is a DNS name or an address; an empty tuple for none.
    """

    common_name: str
    country: str = ""
    state: str = ""
    locality: str = ""
    organization: str = ""
    organizational_unit: str = ""
    email: str = ""
    subject_alt_names: tuple[str, ...] | None = None


def make_csr(
    private: PrivateKey, subject: SubjectName, *, uses: Sequence[x509.ObjectIdentifier] = ()
) -> bytes:
    """Return a request in PEM, signed by `private`. Raises InvalidInput if a value does not fit.

    `uses` are the extended key usages that it asks for. It takes as long as a signature of the key.
    """
    signer = private.certificate_signer()
    builder = x509.CertificateSigningRequestBuilder().subject_name(distinguished_name(subject))
    names = _alternative_names(subject)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return builder.sign(signer.key, signer.digest).public_bytes(Encoding.PEM)


def _alternative_names(subject: SubjectName) -> x509.SubjectAlternativeName | None:
    if subject.subject_alt_names is None:
        return alternative_names_of(subject.common_name)
    if not subject.subject_alt_names:
        return None
    return parse_alternative_names(subject.subject_alt_names)


class _CommonName(x509.NameAttribute[str]):
    """A common name that is bounded by its characters, as in RFC 5280; pyca counts bytes."""

    def __init__(self, value: str) -> None:
        super().__init__(NameOID.COMMON_NAME, "of a length that passes")
        self._text = value

    @property
    def value(self) -> str:
        """The name."""
        return self._text


class _Attribute(msgspec.Struct, frozen=True):
    """An attribute of a subject; its upper bound counts characters (RFC 5280, A.1)."""

    field: str
    oid: x509.ObjectIdentifier
    upper_bound: int

    def of(self, value: str) -> x509.NameAttribute[str]:
        """Return the attribute with this value. Raises InvalidInput if it does not fit."""
        # A NUL or another control character makes readers disagree about where a name ends.
        if not value.isprintable():
            raise InvalidInput(f"{self.field} has a character that cannot be printed.")
        if len(value) > self.upper_bound:
            raise InvalidInput(
                f"{self.field} has {len(value)} characters, more than the "
                f"{self.upper_bound} of RFC 5280."
            )
        if self.oid == NameOID.COMMON_NAME:
            return _CommonName(value)
        return x509.NameAttribute(self.oid, value)


_COMMON_NAME = _Attribute("commonName", NameOID.COMMON_NAME, 64)
_COUNTRY_NAME = _Attribute("countryName", NameOID.COUNTRY_NAME, 2)
_LOCALITY = _Attribute("localityName", NameOID.LOCALITY_NAME, 128)
_STATE = _Attribute("stateOrProvinceName", NameOID.STATE_OR_PROVINCE_NAME, 128)
_ORGANIZATION = _Attribute("organizationName", NameOID.ORGANIZATION_NAME, 64)
_UNIT = _Attribute("organizationalUnitName", NameOID.ORGANIZATIONAL_UNIT_NAME, 64)
_EMAIL = _Attribute("emailAddress", NameOID.EMAIL_ADDRESS, 255)


def distinguished_name(subject: SubjectName) -> x509.Name:
    """Return the subject as an X.501 name. Raises InvalidInput if an attribute does not fit."""
    if not subject.common_name:
        raise InvalidInput("commonName is empty.")
    if subject.country and not _COUNTRY.fullmatch(subject.country):
        raise InvalidInput("countryName is not two letters (ISO 3166).")
    if not subject.email.isascii():
        raise InvalidInput("emailAddress is not ASCII.")
    values = (
        (_COMMON_NAME, subject.common_name),
        (_COUNTRY_NAME, subject.country),
        (_LOCALITY, subject.locality),
        (_STATE, subject.state),
        (_ORGANIZATION, subject.organization),
        (_UNIT, subject.organizational_unit),
        (_EMAIL, subject.email),
    )
    return x509.Name([attribute.of(value) for attribute, value in values if value])
