"""Gets an IPv4 address for the appliance, by DHCP or else a link-local one, and keeps it."""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface
from typing import Final, NoReturn

from keystead.processes.machine import dhcp
from keystead.processes.machine.interface import Interface

ANSWER_SECONDS: Final = 2.0
"""How long a server may take for an answer."""
TRIES_BEFORE_LINK_LOCAL: Final = 5
_PAUSE_SECONDS: Final = 30.0
_LINK_LOCAL: Final = IPv4Address("169.254.1.0")
_LINK_LOCAL_COUNT: Final = 254 * 256
"""169.254.1.0 to 169.254.254.255 (RFC 3927, 2.1)."""


def link_local_address(hardware: bytes) -> IPv4Interface:
    """Return the link-local address that this hardware address leads to."""
    digest = int.from_bytes(hashlib.sha256(hardware).digest()[:4], "big")
    return IPv4Interface(f"{_LINK_LOCAL + digest % _LINK_LOCAL_COUNT}/16")


async def keep_address(interface: Interface, tell: Callable[[str], None]) -> NoReturn:
    """Get an address for the interface, and renew it before it expires, for ever."""
    unanswered = 0
    while True:
        lease = await _ask(interface)
        if lease is not None:
            unanswered = 0
            apply(interface, lease)
            tell(f"address {lease.address.ip}, by DHCP")
            await asyncio.sleep(lease.seconds / 2)
            continue
        unanswered += 1
        if unanswered == TRIES_BEFORE_LINK_LOCAL:
            address = link_local_address(interface.hardware)
            interface.set_address(address)
            tell(f"address {address.ip}, link-local: no DHCP server answers")
        if unanswered >= TRIES_BEFORE_LINK_LOCAL:
            await asyncio.sleep(_PAUSE_SECONDS)


def apply(interface: Interface, lease: dhcp.Lease) -> None:
    """Use what a DHCP server has given."""
    interface.set_address(lease.address)
    if lease.router is not None:
        interface.set_router(lease.router)


async def _ask(interface: Interface) -> dhcp.Lease | None:
    """Ask for an address once. Return it, or None if no server gives one."""
    transaction = os.urandom(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode())
        end.bind(("", dhcp.CLIENT_PORT))
        discover = dhcp.discover(transaction, interface.hardware)
        offer = await _exchange(end, discover, transaction, interface)
        if offer is None or offer.kind is not dhcp.Kind.OFFER:
            return None
        request = dhcp.request(transaction, interface.hardware, offer)
        given = await _exchange(end, request, transaction, interface)
        return given if given is not None and given.kind is dhcp.Kind.ACK else None


async def _exchange(
    end: socket.socket, message: bytes, transaction: bytes, interface: Interface
) -> dhcp.Lease | None:
    """Send a message to all servers, and return the first answer that is understood."""
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendto(end, message, ("255.255.255.255", dhcp.SERVER_PORT))
        answering = _answer(end, transaction, interface)
        return await asyncio.wait_for(answering, ANSWER_SECONDS)
    except OSError:  # No carrier yet, or no answer in time.
        await asyncio.sleep(ANSWER_SECONDS / 10)
        return None


async def _answer(end: socket.socket, transaction: bytes, interface: Interface) -> dhcp.Lease:
    loop = asyncio.get_running_loop()
    while True:
        message, _ = await loop.sock_recvfrom(end, dhcp.MAX_MESSAGE_BYTES)
        found = dhcp.parse(message, transaction, interface.hardware)
        if found is not None:
            return found
