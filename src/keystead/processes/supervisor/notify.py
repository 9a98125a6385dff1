"""Tells a service manager how the server is, by the protocol of sd_notify(3)."""

import socket


class ServiceManager:
    """The service manager that started us, if one did."""

    def __init__(self, address: str | None) -> None:
        """`address` is the value of NOTIFY_SOCKET, None when it is not set."""
        self._address = address

    def tell(self, **state: str) -> None:
        """Send assignments such as READY="1". Never fails: nobody has to listen."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in state.items())
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            try:
                end.sendto(text.encode(), path)
            except OSError:
                return
