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
    """Return DNS names, and addresses written as `IP:192.0.2.1`, as an extension.

    InvalidInput names the one that is malformed.
    """
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def alternative_names_of(common_name: str) -> x509.SubjectAlternativeName | None:
    """Return what a common name stands for, a DNS name or an address; None if it is neither.

    Not every subject is a host: a name with a space in it is not a DNS name that a certificate
    authority would sign.
    """
    if _is_dns_name(common_name) and not _is_ip_address(common_name):
        return x509.SubjectAlternativeName([x509.DNSName(common_name)])
    if _is_ip_address(common_name):
        return parse_alternative_names([IP_PREFIX + common_name])
    return None


def _general_name(name: str) -> x509.GeneralName:
    if name.startswith(IP_PREFIX):
        address = name.removeprefix(IP_PREFIX)
        if not _is_ip_address(address):
            raise InvalidInput(f"{name!a} is not an IP address.")
        return x509.IPAddress(ipaddress.ip_address(address))
    if not _is_dns_name(name):
        raise InvalidInput(
            f"{name!a} is not a DNS name; international names are written in ASCII (xn--…)."
        )
    return x509.DNSName(name)


def _is_dns_name(name: str) -> bool:
    return len(name) <= MAX_DNS_NAME_LENGTH and _DNS_NAME.fullmatch(name) is not None


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return "%" not in name  # a zone (RFC 4007) means something on its own machine only
