"""The network interface of the appliance: its name, its hardware address, its addresses."""

import fcntl
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Final, Self

from keystead.processes.machine import kernel

_FOLDER: Final = Path("/sys/class/net")
_ETHERNET: Final = 1
_IFF_UP: Final = 1
_SIOCADDRT: Final = 0x890B
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_SIOCSIFVLAN: Final = 0x8983
_ADD_VLAN, _REMOVE_VLAN = 0, 1
_RTF_UP_GATEWAY: Final = 0x3
_IPV6_ADDRESS: Final = struct.Struct("=16sIi")
"""A `struct in6_ifreq`: address, length of the prefix, interface."""
_IPV6_ROUTE: Final = struct.Struct("@16s16s16sIHHILIi")
"""A `struct in6_rtmsg`: target, source, router, type, their lengths, metric, info, flags,
interface."""
_VLAN: Final = struct.Struct("@i24si22x")
"""A `struct vlan_ioctl_args`: command, interface, number of the VLAN."""
_METRIC: Final = 1
_NO_NETWORK: Final = IPv4Interface("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Interface:
    """An Ethernet interface."""

    name: str
    hardware: bytes

    def bring_up(self) -> None:
        """Let it carry packets. Neighbours do not say where they go (ICMPv6 redirects).

        Raises OSError if the kernel refuses it.
        """
        self._set_ipv6(("accept_redirects", "0"))  # That of "all" means nothing to the kernel.
        _control(_SIOCSIFFLAGS, struct.pack("16sH22x", self.name.encode(), _IFF_UP))

    def add_vlan(self, number: int) -> Self:
        """Return a new interface, for packets of this one with the tag of a VLAN.

        Raises OSError if the kernel refuses it.
        """
        _control(_SIOCSIFVLAN, _VLAN.pack(_ADD_VLAN, self.name.encode(), number))
        return type(self)(f"{self.name}.{number}", self.hardware)

    def remove_vlan(self) -> None:
        """Remove this interface, which `add_vlan` has made. Raises OSError if it is no such one."""
        _control(_SIOCSIFVLAN, _VLAN.pack(_REMOVE_VLAN, self.name.encode(), 0))

    def set_address(self, address: IPv4Interface) -> None:
        """Give it an address, instead of the one it has, whose routes end.

        Raises OSError if the kernel refuses it.
        """
        _control(_SIOCSIFADDR, self._with_address(_NO_NETWORK.ip))
        _control(_SIOCSIFADDR, self._with_address(address.ip))
        _control(_SIOCSIFNETMASK, self._with_address(address.netmask))

    def set_router(self, router: IPv4Address) -> None:
        """Send through `router` what is for other networks.

        Raises OSError if no address of this interface reaches it.
        """
        anywhere = _socket_address(IPv4Address(0))
        route = struct.pack(
            "Q16s16s16sHhQQhxxxxxxQQQHxxxxxx",
            *(0, anywhere, _socket_address(router), anywhere),
            *(_RTF_UP_GATEWAY, 0, 0, 0, 0, 0, 0, 0, 0),
        )
        try:
            _control(_SIOCADDRT, route)
        except FileExistsError:
            return

    def forget_addresses(self) -> None:
        """Take away all addresses, with their routes, and turn IPv6 off.

        Raises OSError if the kernel refuses it.
        """
        _control(_SIOCSIFADDR, self._with_address(_NO_NETWORK.ip))
        self._set_ipv6(("disable_ipv6", "1"))

    def enable_ipv6(self, *, is_dynamic: bool) -> None:
        """Let it have IPv6 addresses; if dynamic, those of router advertisements.

        It has none until then, since `forget_addresses`. Raises OSError if the kernel has no IPv6.
        """
        advertised = "1" if is_dynamic else "0"
        self._set_ipv6(("accept_ra", advertised), ("autoconf", advertised), ("disable_ipv6", "0"))

    def set_ipv6_address(self, address: IPv6Interface) -> None:
        """Give it an IPv6 address. Raises OSError if the kernel refuses it."""
        length = address.network.prefixlen
        packed = _IPV6_ADDRESS.pack(address.ip.packed, length, self._index)
        _control(_SIOCSIFADDR, packed, family=socket.AF_INET6)

    def set_ipv6_router(self, router: IPv6Address) -> None:
        """Send through `router` what is for other IPv6 networks.

        Raises OSError if no address of this interface reaches it.
        """
        anywhere = IPv6Address(0).packed
        route = _IPV6_ROUTE.pack(
            *(anywhere, anywhere, router.packed),
            *(0, 0, 0, _METRIC, 0, _RTF_UP_GATEWAY, self._index),
        )
        _control(_SIOCADDRT, route, family=socket.AF_INET6)

    @property
    def _index(self) -> int:
        return socket.if_nametoindex(self.name)

    def _set_ipv6(self, *parameters: tuple[str, str]) -> None:
        folder = f"net/ipv6/conf/{self.name}"
        kernel.set_parameters((f"{folder}/{name}", value) for name, value in parameters)

    def _with_address(self, address: IPv4Address) -> bytes:
        return struct.pack("16s16s8x", self.name.encode(), _socket_address(address))


def loopback_up() -> None:
    """Let the machine reach itself. Raises OSError if the kernel refuses it."""
    Interface("lo", b"").bring_up()


def ethernet_interfaces(folder: Path = _FOLDER) -> Iterable[Interface]:
    """Yield the Ethernet interfaces, sorted by name."""
    for found in sorted(folder.iterdir()):
        if (found / "type").is_file() and int((found / "type").read_text()) == _ETHERNET:
            hardware = bytes.fromhex((found / "address").read_text().replace(":", ""))
            yield Interface(found.name, hardware)


def _control(
    command: int, argument: bytes, *, family: socket.AddressFamily = socket.AF_INET
) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, command, argument)


def _socket_address(address: IPv4Address) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, address.packed)
