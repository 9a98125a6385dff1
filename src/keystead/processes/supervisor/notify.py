"""Notifies a service manager of the server's state, by the protocol of sd_notify(3)."""

import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

RESTART_STATUS: Final = 3
"""The exit status of a server that asks process 1 of the appliance to restart the machine."""

_MICROSECONDS: Final = 1_000_000
_PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The service manager that started the server, if there is one."""

    address: str = ""
    """The socket that it listens at, as NOTIFY_SOCKET says it; empty if there is none."""
    watchdog_seconds: float | None = None
    """It ends the server if it hears no WATCHDOG="1" for so long. None: it does not watch."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return what `environment` says, as sd_notify(3) and sd_watchdog_enabled(3) read it."""
        address = environment.get("NOTIFY_SOCKET", "")
        limit = environment.get("WATCHDOG_USEC", "")
        is_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if not is_for_us or not limit.isdecimal() or not int(limit):
            return cls(address)
        return cls(address, int(limit) / _MICROSECONDS)

    def tell(self, **state: str) -> None:
        """Send assignments such as READY="1".

        It waits for a manager that does not read, but not for long. Errors are ignored, because
        nobody has to listen.
        """
        self._send(state, _PATIENCE_SECONDS)

    def tell_alive(self) -> None:
        """Send WATCHDOG="1", unless the manager has too much unread. It never waits."""
        self._send({"WATCHDOG": "1"}, 0)

    def _send(self, state: Mapping[str, str], timeout_seconds: float) -> None:
        if not self.address:
            return
        text = "\n".join(f"{name}={value}" for name, value in state.items())
        path = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.settimeout(timeout_seconds)
            with contextlib.suppress(OSError):
                end.connect(path)  # Only then does the system tell when there is room for more.
                end.send(text.encode())
