"""Where an HSM is, and how its certificate is recognised."""

import hashlib
import re
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from keystead.client.errors import CannotConnect
from keystead.errors import InvalidInput

DEFAULT_PORT: Final = 8443
_NO_ADDRESS: Final = "{!a} is not an address: HOST:PORT is."
_PIN: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pinned:
    """The certificate with this SHA-256 (64 hexadecimal digits), whatever it says of itself."""

    sha256: str


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A certificate for the host's name, of an authority in this PEM file."""

    ca_file: str


@dataclass(frozen=True, slots=True)
class Anyone:
    """Any certificate: whoever is in between reads passphrases. For tests only."""


Trust = Pinned | SignedBy | Anyone


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an HSM, and the certificate expected there."""

    host: str
    port: int
    trust: Trust


def parse_pin(text: str) -> Pinned:
    """Return the pin `sha256:HEX`; colons between the digits, as openssl writes them, may stay.

    Raises InvalidInput if it is none.
    """
    prefix, _, digits = text.strip().lower().rpartition("sha256:")
    found = _PIN.fullmatch(prefix + digits.replace(":", ""))
    if found is None:
        raise InvalidInput("A pin is 'sha256:' and 64 hexadecimal digits.")
    return Pinned(found[1])


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST[:PORT]` or `[IPV6]:PORT`. Raises InvalidInput if malformed."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput(_NO_ADDRESS.format(text)) from None
    if not host or parts.netloc != text or parts.username is not None:
        raise InvalidInput(_NO_ADDRESS.format(text))
    return host, DEFAULT_PORT if port is None else port


def presented_pin(host: str, port: int, *, timeout_seconds: float) -> Pinned:
    """Return the pin of the certificate that is shown there. It proves nothing by itself.

    Raises CannotConnect if nobody speaks TLS there.
    """
    try:
        pem = ssl.get_server_certificate((host, port), timeout=timeout_seconds)
    except OSError as error:
        raise CannotConnect(f"{host}:{port}: {error.strerror or error}.") from None
    return pin_of(pem)


def pin_of(chain_pem: str) -> Pinned:
    """Return the pin of the first certificate in `chain_pem`, in which there must be one."""
    certificate, footer, _ = chain_pem.partition(ssl.PEM_FOOTER)
    certificate = certificate[certificate.index(ssl.PEM_HEADER) :] + footer
    return Pinned(hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest())
