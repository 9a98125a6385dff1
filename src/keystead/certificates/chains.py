"""Checks of certificates from outside before they are installed."""

import itertools
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.errors import InvalidInput, WrongState

MAX_CHAIN_BYTES = 64 * 1024
"""The longest chain, as DER. It is sent in every handshake, and OpenSSL's clients refuse 100
KiB."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of a certificate authority may be ahead of this one."""

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_BLOCK = re.compile(rb"-----BEGIN ([^-\r\n]*)-----")


def normalized_chain(pem: bytes) -> bytes:
    """Return the certificates in `pem` alone, each one issued by the next (RFC 5246, 7.4.2).

    Text around them is dropped (RFC 7468, 2). Raises InvalidInput for other PEM blocks, for another
    order, and if the chain is longer than MAX_CHAIN_BYTES.
    """
    chain = _certificates(pem)
    if sum(len(one.public_bytes(Encoding.DER)) for one in chain) > MAX_CHAIN_BYTES:
        raise InvalidInput(f"The certificates are longer than {MAX_CHAIN_BYTES} bytes.")
    for number, (subject, issuer) in enumerate(itertools.pairwise(chain), start=1):
        if not _has_issued(issuer, subject):
            raise InvalidInput(
                f"Certificate {number} is not issued by certificate {number + 1}: "
                "the server's own comes first, then each one's issuer."
            )
    return _pem(chain)


def normalized_authority(pem: bytes) -> bytes:
    """Return the one certificate in `pem`, which may sign others (RFC 5280, 4.2.1.3 and 4.2.1.9).

    Raises InvalidInput, which says what it lacks.
    """
    certificates = _certificates(pem)
    if len(certificates) != 1:
        raise InvalidInput(f"Expected one certificate, not {len(certificates)}.")
    if not _is_authority(certificates[0]):
        raise InvalidInput(
            "The certificate is not that of a certificate authority: it needs basicConstraints "
            "with CA true, and keyUsage with keyCertSign."
        )
    return _pem(certificates)


def require_signed_by(authority_pem: bytes, chain_pem: bytes) -> None:
    """Raise WrongState unless the authority signed the chain, directly or through its issuers."""
    (authority,) = _certificates(authority_pem)
    certificate, *issuers = _certificates(chain_pem)
    vouching = itertools.takewhile(_is_authority, issuers)
    if not any(_has_issued(authority, one) for one in (certificate, *vouching)):
        raise WrongState("The TLS certificate is not signed by the cluster CA.")


def require_serving(chain_pem: bytes, now: datetime) -> None:
    """Raise InvalidInput unless TLS clients accept the first certificate as a server's at `now`.

    What OpenSSL, curl, Go or GnuTLS refuses is refused here (RFC 5280, 4.1.2.5 and 4.2; RFC 8446,
    4.4.2.2). The certificates after the first one must be able to issue others. Their dates are
    not asked for: a client may know another way to a root.
    """
    certificate, *issuers = _certificates(chain_pem)
    _require_acceptance(certificate, now)
    for extension in _extensions(certificate):
        usage = extension.value
        if isinstance(usage, x509.KeyUsage) and not usage.digital_signature:
            raise InvalidInput("The certificate's keyUsage lacks digitalSignature.")
    for number, issuer in enumerate(issuers, start=2):
        if not _may_issue(issuer, number - 2):
            raise InvalidInput(
                f"Certificate {number} may not issue the one before: its basicConstraints or "
                "keyUsage forbid it."
            )


def require_trusted(authority_pem: bytes, now: datetime) -> None:
    """Raise InvalidInput if clients refuse every server's certificate of this authority."""
    (authority,) = _certificates(authority_pem)
    _require_acceptance(authority, now)


def first_end(pem: bytes) -> datetime:
    """Return when the first of the certificates in `pem` expires."""
    return min(one.not_valid_after_utc for one in _certificates(pem))


def _require_acceptance(certificate: x509.Certificate, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end or begin - now > CLOCK_SKEW:
        what = "expired on" if now > end else "is not valid before"
        limit = end if now > end else begin
        time = f"{now:{_TIME_FORMAT}}"
        raise InvalidInput(f"The certificate {what} {limit:{_TIME_FORMAT}}. It is {time} here.")
    digest = _digest(certificate)
    # Clients do not check the signature of a self-signed certificate.
    if isinstance(digest, hashes.MD5 | hashes.SHA1) and not _has_issued(certificate, certificate):
        raise InvalidInput(f"The certificate is signed with {digest.name}, which clients refuse.")
    for extension in _extensions(certificate):
        match extension.value:
            # OpenSSL refuses anyExtendedKeyUsage without serverAuth; Go and GnuTLS take it.
            case x509.ExtendedKeyUsage() as uses if ExtendedKeyUsageOID.SERVER_AUTH not in uses:
                raise InvalidInput("The certificate's extendedKeyUsage lacks serverAuth.")
            case x509.UnrecognizedExtension(oid=oid) if extension.critical:
                raise InvalidInput(
                    f"The certificate has a critical extension that clients do not know: "
                    f"{oid.dotted_string}."
                )


def _digest(certificate: x509.Certificate) -> hashes.HashAlgorithm | None:
    try:
        return certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        raise InvalidInput("The certificate is signed with an unknown algorithm.") from None


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension):
        raise InvalidInput("The certificate has an extension that cannot be read.") from None


def _may_issue(certificate: x509.Certificate, issuers_below: int) -> bool:
    """Return whether clients take it as an issuer (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    is_authority = False
    for extension in _extensions(certificate):
        match extension.value:
            case x509.BasicConstraints() as bounds:
                longest = bounds.path_length
                is_authority = bounds.ca and (longest is None or issuers_below <= longest)
            case x509.KeyUsage() as usage if not usage.key_cert_sign:
                return False
    return is_authority


def _certificates(pem: bytes) -> list[x509.Certificate]:
    """Return all certificates in `pem`, at least one. Raises InvalidInput for other blocks."""
    foreign = {kind for kind in _BLOCK.findall(pem) if kind != b"CERTIFICATE"}
    if foreign:
        kind = foreign.pop().decode("ascii", "replace")
        raise InvalidInput(f"The PEM holds something other than certificates: {kind!a}.")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise InvalidInput("There is no valid certificate in the PEM.") from None


def _has_issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether the names and signature of `issuer` fit. Dates are ignored: a clock may be wrong."""
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return constraints.ca and usage.key_cert_sign


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
