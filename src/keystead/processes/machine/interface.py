"""The network interface of the appliance: its name, its hardware address, its IPv4 address."""

import fcntl
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Final

_FOLDER: Final = Path("/sys/class/net")
_ETHERNET: Final = 1
_IFF_UP: Final = 1
_SIOCADDRT: Final = 0x890B
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_RTF_UP_GATEWAY: Final = 0x3
_FILE_EXISTS: Final = 17


@dataclass(frozen=True, slots=True)
class Interface:
    """An Ethernet interface."""

    name: str
    hardware: bytes

    def bring_up(self) -> None:
        """Let it carry packets. Raises OSError."""
        _control(_SIOCSIFFLAGS, struct.pack("16sH22x", self.name.encode(), _IFF_UP))

    def set_address(self, address: IPv4Interface) -> None:
        """Give it an address, instead of the one it has. Raises OSError."""
        _control(_SIOCSIFADDR, self._with_address(address.ip))
        _control(_SIOCSIFNETMASK, self._with_address(address.netmask))

    def set_router(self, router: IPv4Address) -> None:
        """Send through `router` what is for other networks. Raises OSError."""
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

    def _with_address(self, address: IPv4Address) -> bytes:
        return struct.pack("16s16s8x", self.name.encode(), _socket_address(address))


def loopback_up() -> None:
    """Let the machine reach itself. Raises OSError."""
    Interface("lo", b"").bring_up()


def ethernet_interfaces(folder: Path = _FOLDER) -> Iterable[Interface]:
    """Yield the Ethernet interfaces, sorted by name."""
    for found in sorted(folder.iterdir()):
        if (found / "type").is_file() and int((found / "type").read_text()) == _ETHERNET:
            hardware = bytes.fromhex((found / "address").read_text().replace(":", ""))
            yield Interface(found.name, hardware)


def _control(command: int, argument: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, command, argument)


def _socket_address(address: IPv4Address) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, address.packed)
