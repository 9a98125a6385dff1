"""The PROXY protocol, versions 1 and 2, in which a proxy sends the address of its client.

Sans-I/O: `read_header` says how many bytes it wants next and never takes one that follows the
header. After haproxy's specification, doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

import re
import socket
from collections.abc import Generator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

MAX_TEXT_BYTES: Final = 107
"""The longest line of version 1, as the specification counts it."""
MAX_BINARY_BYTES: Final = 2048
"""Of addresses and TLVs in version 2; what haproxy adds about TLS has some hundred."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_SHORTEST: Final = len(b"PROXY UNKNOWN\r\n")
_TEXT: Final = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d+) (\d+)\r\n")
_FAMILIES: Final = {b"TCP4": 4, b"TCP6": 6}
_MAX_PORT: Final = 65535

_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _UNIX_STREAM = 0x00, 0x31
_ADDRESS_BYTES: Final = {_UNSPECIFIED: 0, 0x11: 12, 0x21: 36, _UNIX_STREAM: 216}
"""By family and protocol; only streams come here."""
_ADDRESS_FAMILIES: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}
_CHECKSUM_TYPE: Final = 0x03
_CHECKSUM_BYTES: Final = 4
_TLV_HEAD_BYTES: Final = 3
_CASTAGNOLI: Final = 0x82F63B78


def read_header() -> Generator[int, bytes, Address | None]:
    """Yield the number of bytes to send next, and in the end return the client's address.

    Returns None if the proxy connects for itself or does not know the address. Raises ValueError if
    the bytes are not a valid header.
    """
    start = yield _SHORTEST
    if start.startswith(_SIGNATURE):
        head = start + (yield 1)
        length = int.from_bytes(head[14:16])
        if length > MAX_BINARY_BYTES:
            raise ValueError("a header that is too long")
        return _binary(head, (yield length) if length else b"")
    if not start.startswith(b"PROXY "):
        raise ValueError("no header")
    while not start.endswith(b"\r\n"):
        if len(start) == MAX_TEXT_BYTES:
            raise ValueError("a line that is too long")
        start += yield 1
    return _text(start)


def _text(line: bytes) -> Address | None:
    if line.startswith((b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r\n")):
        return None
    found = _TEXT.fullmatch(line)
    if found is None:
        raise ValueError("a malformed line")
    family, *addresses, source_port, target_port = found.groups()
    source, target = (ip_address(address.decode()) for address in addresses)
    if not source.version == target.version == _FAMILIES[family]:
        raise ValueError("an address of another family")
    for port in (source_port, target_port):
        if int(port) > _MAX_PORT or str(int(port)).encode() != port:
            raise ValueError("no port")
    return source


def _binary(head: bytes, rest: bytes) -> Address | None:
    command, kind = head[12:14]
    if command not in {_LOCAL, _PROXY}:
        raise ValueError("an unknown version or command")
    if command == _LOCAL:
        return None
    if kind not in _ADDRESS_BYTES or len(rest) < _ADDRESS_BYTES[kind]:
        raise ValueError("an unknown family, or too few bytes for its addresses")
    if kind == _UNSPECIFIED:
        return None
    _check_extensions(head + rest, len(head) + _ADDRESS_BYTES[kind])
    if kind == _UNIX_STREAM:
        return None
    family, size = _ADDRESS_FAMILIES[kind]
    return ip_address(socket.inet_ntop(family, rest[:size]))


def _check_extensions(header: bytes, at: int) -> None:
    """Go through the TLVs; only a checksum matters here, the others are ignored."""
    while at < len(header):
        length = int.from_bytes(header[at + 1 : at + _TLV_HEAD_BYTES])
        begin, end = at + _TLV_HEAD_BYTES, at + _TLV_HEAD_BYTES + length
        if end > len(header):
            raise ValueError("an extension that is longer than the header")
        if header[at] == _CHECKSUM_TYPE:
            cleared = header[:begin] + bytes(length) + header[end:]
            if length != _CHECKSUM_BYTES or int.from_bytes(header[begin:end]) != crc32c(cleared):
                raise ValueError("a wrong checksum")
        at = end


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (RFC 3720, B.4) of some hundred bytes; it is not made for more."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
