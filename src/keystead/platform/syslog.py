"""Syslog over UDP (RFC 3164). It sends events and never delays a request."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Final, Protocol

FACILITY: Final = 10
"""Security and authorization messages."""
MAX_MESSAGE_BYTES: Final = 1024
"""The longest message in RFC 3164, section 4.1. A longer message is cut."""
TAG: Final = "keystead"


class Sender(Protocol):
    """Sends messages somewhere without ever waiting."""

    def send(self, severity: int, text: str) -> None:
        """Send one message, its severity as RFC 5424 numbers them."""
        ...


class UdpSyslog:
    """Sends messages to one address. A message that cannot be sent is lost.

    The loss is not logged, because that event would be the next message that cannot be sent.
    """

    def __init__(self, *, host_name: str, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds."""
        self._host_name = host_name
        self._clock = clock
        self._socket: socket.socket | None = None

    def aim(self, address: str | None, port: int) -> None:
        """Send to this IPv4 or IPv6 address from now on. None stops sending."""
        self.close()
        if address is None:
            return
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.suppress(OSError):
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.connect((address, port))

    def send(self, severity: int, text: str) -> None:
        """Send one message without waiting."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send(self._message(severity, text))

    def close(self) -> None:
        """Stop sending."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _message(self, severity: int, text: str) -> bytes:
        now = time.gmtime(self._clock())
        stamp = f"{time.strftime('%b', now)} {now.tm_mday:2} {time.strftime('%H:%M:%S', now)}"
        head = f"<{FACILITY * 8 + severity}>{stamp} {self._host_name} {TAG}: "
        return (head + text).encode("ascii", "replace")[:MAX_MESSAGE_BYTES]


class Syslog:
    """All receivers of the log: an Administrator's over UDP, and the operator's over TLS."""

    def __init__(self, udp: UdpSyslog, *others: Sender) -> None:
        self._udp = udp
        self._senders = (udp, *others)

    def aim(self, address: str | None, port: int) -> None:
        """Send to this IPv4 or IPv6 address over UDP from now on. None stops sending."""
        self._udp.aim(address, port)

    def send(self, severity: int, text: str) -> None:
        """Send one message to all of them."""
        for sender in self._senders:
            sender.send(severity, text)
