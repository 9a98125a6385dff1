"""Messages of DHCP for IPv4 (RFC 2131, RFC 2132): what the appliance sends and understands."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

CLIENT_PORT: Final = 68
SERVER_PORT: Final = 67
MAX_MESSAGE_BYTES: Final = 1500

_HEADER: Final = struct.Struct("!BBBB4sHH4s4s4s4s16s64s128s4s")
_COOKIE: Final = b"\x63\x82\x53\x63"
_REQUEST, _REPLY = 1, 2
_ETHERNET: Final = 1
_BROADCAST: Final = 0x8000
"""Replies are broadcast: before it has an address, the appliance gets no others."""

_PAD, _END = 0, 255
_MASK, _ROUTER, _ASKED_ADDRESS, _LEASE, _TYPE, _SERVER, _WANTED = 1, 3, 50, 51, 53, 54, 55
_ADDRESS_BYTES: Final = 4
_LEASE_BYTES: Final = 4
_EVERYONE: Final = IPv4Address("255.255.255.255")
_SHORTEST_LEASE: Final = 60
_DEFAULT_LEASE: Final = 3600


class MessageType(IntEnum):
    """The message types that the appliance uses."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    ACK = 5


@dataclass(frozen=True, slots=True)
class Lease:
    """An address that a server offers or has given."""

    kind: MessageType
    address: IPv4Interface
    router: IPv4Address | None
    server: IPv4Address
    seconds: int


def discover(transaction: bytes, hardware: bytes) -> bytes:
    """Return the message that asks all servers for an offer."""
    return _message(transaction, hardware, MessageType.DISCOVER, {})


def request(transaction: bytes, hardware: bytes, lease: Lease) -> bytes:
    """Return the message that accepts an offer, or asks to keep an address."""
    options = {_ASKED_ADDRESS: lease.address.ip.packed, _SERVER: lease.server.packed}
    return _message(transaction, hardware, MessageType.REQUEST, options)


def _message(
    transaction: bytes, hardware: bytes, kind: MessageType, options: Mapping[int, bytes]
) -> bytes:
    nowhere = bytes(_ADDRESS_BYTES)
    header = _HEADER.pack(
        _REQUEST,
        _ETHERNET,
        len(hardware),
        0,
        transaction,
        0,
        _BROADCAST,
        *[nowhere] * 4,
        hardware,
        b"",
        b"",
        _COOKIE,
    )
    given = {_TYPE: bytes([kind]), **options, _WANTED: bytes([_MASK, _ROUTER, _LEASE])}
    return header + b"".join(bytes([o, len(v)]) + v for o, v in given.items()) + bytes([_END])


def parse(message: bytes, transaction: bytes, hardware: bytes) -> Lease | None:
    """Return what a server answers to this transaction. None if the message is for another one,
    is not understood, or offers an address that no machine can have.
    """
    if len(message) < _HEADER.size:
        return None
    fields = _HEADER.unpack_from(message)
    operation, address, asker, cookie = fields[0], fields[8], fields[11], fields[14]
    ours = (operation, fields[4], asker[: len(hardware)], cookie)
    if ours != (_REPLY, transaction, hardware, _COOKIE):
        return None
    try:
        return _lease(IPv4Address(address), _options(message[_HEADER.size :]))
    except (KeyError, ValueError, IndexError):
        return None


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    place = 0
    while data[place] != _END:
        if data[place] == _PAD:
            place += 1
            continue
        start = place + 2
        place = start + data[place + 1]
        if place > len(data):
            raise ValueError("an option is longer than the message")
        found[data[start - 2]] = data[start:place]
    return found


def _lease(address: IPv4Address, options: Mapping[int, bytes]) -> Lease:
    kind = MessageType(int.from_bytes(options[_TYPE], "big"))
    server = IPv4Address(options[_SERVER])
    if (
        address.is_unspecified
        or address.is_multicast
        or address.is_loopback
        or address == _EVERYONE
    ):
        raise ValueError("no machine can have this address")
    mask = IPv4Address(options.get(_MASK, b"\xff\xff\xff\xff"))
    router = options.get(_ROUTER)
    lease = options.get(_LEASE, bytes(_LEASE_BYTES))
    if len(lease) != _LEASE_BYTES:
        raise ValueError("a number of seconds that no clock counts to")
    return Lease(
        kind,
        IPv4Interface(f"{address}/{mask}"),
        None if router is None else IPv4Address(router[:_ADDRESS_BYTES]),
        server,
        max(int.from_bytes(lease, "big") or _DEFAULT_LEASE, _SHORTEST_LEASE),
    )
