"""Certificates that come from outside: what must hold before one is installed."""

import itertools
import re
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.errors import InvalidInput, WrongState

MAX_CHAIN_BYTES = 64 * 1024
"""As DER. A chain goes over the wire in every handshake; OpenSSL's clients refuse 100 KiB."""

_SERVER_USAGES = frozenset(
    {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
)

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_BLOCK = re.compile(rb"-----BEGIN ([^-\r\n]*)-----")


def normalized_chain(pem: bytes) -> bytes:
    """Return the certificates in `pem` alone, each one issued by the next (RFC 5246, 7.4.2).

    Text around them is dropped (RFC 7468, 2). InvalidInput for anything else than certificates,
    for another order, and for what is longer than MAX_CHAIN_BYTES.
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

    InvalidInput says what it lacks.
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

    These are the checks that OpenSSL and curl make (RFC 5280, 4.1.2.5, 4.2.1.3 and 4.2.1.12). Only
    the server's own certificate is asked: a client may know another way to a root.
    """
    certificate, *_ = _certificates(chain_pem)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now <= end:
        what = "expired on" if now > end else "is not valid before"
        limit = end if now > end else begin
        time = f"{now:{_TIME_FORMAT}}"
        raise InvalidInput(f"The certificate {what} {limit:{_TIME_FORMAT}}. It is {time} here.")
    digest = certificate.signature_hash_algorithm
    is_self_issued = certificate.issuer == certificate.subject
    if isinstance(digest, hashes.MD5 | hashes.SHA1) and not is_self_issued:
        raise InvalidInput(f"The certificate is signed with {digest.name}, which clients refuse.")
    _require_server_usage(certificate)


def _require_server_usage(certificate: x509.Certificate) -> None:
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension):
        raise InvalidInput("The certificate has an extension that cannot be read.") from None
    for extension in extensions:
        match extension.value:
            case x509.ExtendedKeyUsage() as usage if not _SERVER_USAGES & set(usage):
                raise InvalidInput("The certificate's extendedKeyUsage lacks serverAuth.")
            case x509.KeyUsage() as usage if not (
                usage.digital_signature or usage.key_encipherment or usage.key_agreement
            ):
                raise InvalidInput("The certificate's keyUsage allows nothing that TLS needs.")


def _certificates(pem: bytes) -> list[x509.Certificate]:
    """Return all certificates in `pem`, at least one; InvalidInput for any other kind of block."""
    foreign = {kind for kind in _BLOCK.findall(pem) if kind != b"CERTIFICATE"}
    if foreign:
        kind = foreign.pop().decode("ascii", "replace")
        raise InvalidInput(f"The PEM holds something else than certificates: {kind!a}.")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise InvalidInput("There is no valid certificate in the PEM.") from None


def _has_issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether `issuer` names and signature fit; dates are not looked at: the clock may be wrong."""
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
