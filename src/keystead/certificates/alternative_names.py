"""The names beside the subject in a certificate (RFC 5280, 4.2.1.6), as the API writes them."""

import ipaddress
import re
from collections.abc import Iterable

from cryptography import x509

from keystead.errors import InvalidInput

IP_PREFIX = "IP:"
MAX_DNS_NAME_LENGTH = 253

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", re.ASCII)


def parse_alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """Return DNS names and addresses as an extension; `IP:` before an address may be left out.

    Raises InvalidInput, which names a malformed one.
    """
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def alternative_names_of(common_name: str) -> x509.SubjectAlternativeName | None:
    """Return a common name as a DNS name or an address, or None if it is neither.

    Not every subject is a host: a name with a space in it is not a DNS name that a certificate
    authority would sign.
    """
    if _is_ip_address(common_name) or _is_dns_name(common_name):
        return parse_alternative_names([common_name])
    return None


def _general_name(name: str) -> x509.GeneralName:
    address = name.removeprefix(IP_PREFIX)
    if _is_ip_address(address):
        return x509.IPAddress(ipaddress.ip_address(address))
    if name.startswith(IP_PREFIX):
        raise InvalidInput(f"{name!r} is not an IP address.")
    if not _is_dns_name(name):
        raise InvalidInput(
            f"{name!r} is neither a DNS name nor an IP address; "
            "international names are written in ASCII (xn--…)."
        )
    return x509.DNSName(name)


def _is_dns_name(name: str) -> bool:
    if len(name) > MAX_DNS_NAME_LENGTH or _DNS_NAME.fullmatch(name) is None:
        return False
    # What ends in a number is an address, or meant to be one (RFC 1123, 2.1): 192.0.2.256.
    return not name.rpartition(".")[2].isdigit()


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return "%" not in name  # a zone (RFC 4007) means something on its own machine only
