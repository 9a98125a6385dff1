"""Gets an IPv4 address for the appliance, by DHCP or else a link-local one, and keeps it."""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from keystead.deadlines import within
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


class Holding:
    """What an interface holds: a lease, a link-local address or nothing. It asks no clock."""

    def __init__(self) -> None:
        self.lease: dhcp.Lease | None = None
        self._ends_at = 0.0
        self._unanswered = 0
        self._is_link_local = False

    def answered(self, lease: dhcp.Lease, *, now: float) -> bool:
        """Note a lease. Return whether it differs from what is held, and has to be applied."""
        held, self.lease = self.lease, lease
        self._ends_at = now + lease.seconds
        self._unanswered = 0
        self._is_link_local = False
        return held is None or (held.address, held.router) != (lease.address, lease.router)

    def unanswered(self, *, now: float) -> bool:
        """Note that no server answers. Return whether to take the link-local address now."""
        self._unanswered += 1
        if self._is_link_local or now < self._ends_at or not self.is_quiet:
            return False
        self.lease = None
        self._is_link_local = True
        return True

    @property
    def is_quiet(self) -> bool:
        """Whether nobody has answered for so long that it is enough to ask now and then."""
        return self._unanswered >= TRIES_BEFORE_LINK_LOCAL


async def keep_address(interface: Interface, tell: Callable[[str], None]) -> None:
    """Get an address for the interface, and renew it before it expires, for ever."""
    holding = Holding()
    while True:
        try:
            pause = await _renew(interface, holding, tell)
        except OSError as error:  # No carrier, or a server gave what the kernel refuses.
            tell(f"no address: {error.strerror or error}")
            holding = Holding()
            pause = _PAUSE_SECONDS
        await asyncio.sleep(pause)


async def _renew(interface: Interface, holding: Holding, tell: Callable[[str], None]) -> float:
    """Ask once for an address and use what comes of it. Return the seconds until the next time."""
    lease = await _ask(interface)
    now = asyncio.get_running_loop().time()
    if lease is not None:
        if holding.answered(lease, now=now):
            interface.set_address(lease.address)
            tell(f"address {lease.address.ip}, by DHCP{_without_router(interface, lease.router)}")
        return lease.seconds / 2
    if holding.unanswered(now=now):
        address = link_local_address(interface.hardware)
        interface.set_address(address)
        tell(f"address {address.ip}, link-local: no DHCP server answers")
    return _PAUSE_SECONDS if holding.is_quiet else 0.0


def _without_router(interface: Interface, router: IPv4Address | None) -> str:
    """Use a router. If it is of no use, return what to say of that: the address is kept."""
    if router is None:
        return ""
    try:
        interface.set_router(router)
    except OSError:
        return f", without its router {router}, which that address does not reach"
    return ""


async def _ask(interface: Interface) -> dhcp.Lease | None:
    """Ask for an address once. Return it, or None if no server gives one."""
    transaction = os.urandom(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode())
        end.bind(("", dhcp.CLIENT_PORT))
        discover = dhcp.discover(transaction, interface.hardware)
        offer = await _exchange(end, discover, dhcp.MessageType.OFFER, transaction, interface)
        if offer is None:
            return None
        request = dhcp.request(transaction, interface.hardware, offer)
        return await _exchange(end, request, dhcp.MessageType.ACK, transaction, interface)


async def _exchange(
    end: socket.socket,
    message: bytes,
    kind: dhcp.MessageType,
    transaction: bytes,
    interface: Interface,
) -> dhcp.Lease | None:
    """Send a message to all servers, and return the first answer of this kind.

    Others are skipped: a second server's offer may arrive after the first offer was accepted.
    """
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendto(end, message, ("255.255.255.255", dhcp.SERVER_PORT))
        return await within(ANSWER_SECONDS, _answer(end, kind, transaction, interface))
    except OSError:  # No carrier yet, or no answer in time.
        await asyncio.sleep(ANSWER_SECONDS / 10)
        return None


async def _answer(
    end: socket.socket, kind: dhcp.MessageType, transaction: bytes, interface: Interface
) -> dhcp.Lease:
    loop = asyncio.get_running_loop()
    while True:
        message, _ = await loop.sock_recvfrom(end, dhcp.MAX_MESSAGE_BYTES)
        found = dhcp.parse(message, transaction, interface.hardware)
        if found is not None and found.kind is kind:
            return found
        await asyncio.sleep(0)  # A flood of messages must not keep process 1 from all else.
