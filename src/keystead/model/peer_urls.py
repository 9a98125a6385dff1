"""Where the members of a cluster reach each other: `https://host:port`, and nothing else.

etcd checks the URLs of a member that is added, but not those of a member that is changed. A URL
that it would have refused then stops every member, at each restart too. So every URL that comes in
is checked here.
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NewType

from keystead.errors import InvalidInput

MAX_PEER_URLS: Final = 8
"""An HSM has a few addresses at most. etcd tries each of them in turn."""
MAX_PEER_URL_LENGTH: Final = 1024

PeerUrl = NewType("PeerUrl", str)

_PARTS: Final = re.compile(r"https://(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:]*)):(?P<port>[^:]*)")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_LARGEST_PORT: Final = 65535
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LONGEST_NAME: Final = 253
_LOOKS_NUMERIC: Final = re.compile(r"(?:.*\.)?[0-9]+", re.ASCII)


def parse_peer_urls(texts: Sequence[str]) -> tuple[PeerUrl, ...]:
    """Return the URLs of one member.

    Raises InvalidInput, with the first URL that is wrong, if one is not `https://host:port`, if
    one is there twice, and if there are none or more than MAX_PEER_URLS.
    """
    if not 1 <= len(texts) <= MAX_PEER_URLS:
        raise InvalidInput(f"A member has 1 to {MAX_PEER_URLS} URLs, not {len(texts)}.")
    urls = tuple(map(_parse, texts))
    for url in urls:
        if urls.count(url) > 1:
            raise InvalidInput(f"The URL {url} is given twice.")
    return urls


def split_peer_url(url: str) -> tuple[str, str]:
    """Return the host, an IPv6 address without its brackets, and the port of a checked URL."""
    host, _, port = url.removeprefix("https://").rpartition(":")
    return host.strip("[]"), port


def _parse(text: str) -> PeerUrl:
    if len(text) > MAX_PEER_URL_LENGTH:
        raise InvalidInput(f"A URL cannot be longer than {MAX_PEER_URL_LENGTH} characters.")
    parts = _PARTS.fullmatch(text)
    if parts is None or not _is_port(parts["port"]):
        raise InvalidInput(
            f"{text!a} is not the URL of a member: it must be https://host:port, without a path."
        )
    if parts["v6"] is not None:
        return PeerUrl(f"https://[{_address(parts['v6'], IPv6Address)}]:{parts['port']}")
    host = parts["host"]
    if _LOOKS_NUMERIC.fullmatch(host):
        _address(host, IPv4Address)
    elif len(host) > _LONGEST_NAME or not _NAME.fullmatch(host):
        raise InvalidInput(f"{host!a} is neither a host name nor an IP address.")
    return PeerUrl(f"https://{host.lower()}:{parts['port']}")


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _LARGEST_PORT


def _address(text: str, kind: type[IPv4Address] | type[IPv6Address]) -> str:
    try:
        address = kind(text)
    except AddressValueError:
        raise InvalidInput(f"{text!a} is not an IP address.") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise InvalidInput(f"{text!a} has a zone, which other members do not have.")
    return str(address)
