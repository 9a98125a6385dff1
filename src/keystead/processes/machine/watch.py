"""Watches the server, as a service manager does: it has to say again and again that it lives.

The protocol is that of sd_notify(3). Only root can write to the socket, so none of the server's
confined processes can.
"""

import asyncio
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

LIMIT_SECONDS: Final = 120.0
"""How long a server that is ready may say nothing. An emulated machine is slow."""

_MAX_BYTES: Final = 4096
_MICROSECONDS: Final = 1_000_000
_SIGNS_OF_LIFE: Final = {b"READY=1", b"WATCHDOG=1"}


class Watch:
    """Waits for signs of life of a server. It begins with the first one."""

    def __init__(
        self,
        path: Path,
        on_silence: Callable[[], None],
        on_notice: Callable[[bytes], None],
        *,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        """Listen at `path`. `on_silence` is called once, when there is no sign for too long.

        `on_notice` gets every line that is no sign of life.
        """
        self._path = path
        self._limit = limit_seconds
        self._on_silence = on_silence
        self._on_notice = on_notice
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._end.bind(str(path))
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        self._loop.add_reader(self._end, self._hear)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the server has to have in its environment."""
        return {
            "NOTIFY_SOCKET": str(self._path),
            "WATCHDOG_USEC": str(int(self._limit * _MICROSECONDS)),
        }

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._end)
        self._end.close()
        self._path.unlink()
        if self._alarm is not None:
            self._alarm.cancel()

    def _hear(self) -> None:
        lines = set(self._end.recv(_MAX_BYTES).splitlines())
        for line in lines - _SIGNS_OF_LIFE:
            self._on_notice(line)
        if lines.isdisjoint(_SIGNS_OF_LIFE):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(self._limit, self._on_silence)
