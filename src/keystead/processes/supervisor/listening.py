"""The addresses that the server listens on: parsing HOST:PORT, and binding the port."""

import socket
import struct
from dataclasses import dataclass
from typing import Final

from keystead.edge.limits import LISTEN_BACKLOG
from keystead.errors import StartRefused

_ACCEPT_WAITS: Final = struct.pack("ll", 0, 10_000)
"""A struct timeval of 10 ms."""
_LOOPBACKS: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a TCP port. With 0, the kernel chooses the port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `HOST:PORT`, `[IPv6]:PORT`, or `:PORT` for all addresses.

        Raises ValueError if it is none of these.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
            raise ValueError(f"{text!r} is not HOST:PORT")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"an IPv6 address needs brackets: [{host}]:{port}")
        return cls(host, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def listen(address: Address) -> tuple[list[socket.socket], Address]:
    """Return listening sockets for `address`, and the address with the port that was taken.

    `localhost` stands for both loopback addresses, if the machine has both. Raises StartRefused if
    an address is in use or does not belong to this machine.
    """
    if address.host != "localhost":
        first = _listen_on(address.host, address.port)
        return [first], Address(address.host, first.getsockname()[1])
    listeners = [_listen_on(_LOOPBACKS[0], address.port)]
    port = listeners[0].getsockname()[1]
    if _is_ours(_LOOPBACKS[1]):
        listeners.append(_listen_on(_LOOPBACKS[1], port))
    return listeners, Address("localhost", port)


def _is_ours(ipv6: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
            trial.bind((ipv6, 0))
    except OSError:
        return False
    return True


def _listen_on(host: str, port: int) -> socket.socket:
    try:
        (family, _, _, _, where), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _refused(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from error
    listener.setblocking(False)
    # All edges share its state. A captured edge may make it block again, but only for a short time.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _ACCEPT_WAITS)
    return listener


def _refused(host: str, port: int, error: OSError) -> StartRefused:
    return StartRefused(
        f"Cannot listen on {Address(host, port)}: {error.strerror}. "
        "--listen HOST:PORT chooses another address."
    )
