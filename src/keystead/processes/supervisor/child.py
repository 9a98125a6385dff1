"""A process that the supervisor started, from its start to its end."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any, Final

import msgspec

from keystead.processes.sandbox import ProcessKind
from keystead.processes.supervisor.log_pipe import LogPipe
from keystead.wire import control
from keystead.wire.frames import UNDECODABLE


class Child:
    """One running process: messages from it, messages to it, and its exit status."""

    def __init__(
        self,
        kind: ProcessKind,
        process: subprocess.Popen[bytes],
        supervisor_end: socket.socket,
        log: LogPipe,
        *,
        says: object,
        on_message: Callable[[Any], None],
    ) -> None:
        """`says` is the type, or union of types, of the messages that `on_message` gets."""
        self.kind: Final = kind
        self.pid: Final = process.pid
        self.ended: Final[asyncio.Future[int]] = asyncio.get_running_loop().create_future()
        """The exit status, or minus the number of the signal that killed the process."""
        self._process = process
        self._control = supervisor_end
        self._log = log
        self._says = msgspec.msgpack.Decoder[Any](says)
        self._on_message = on_message
        self._is_listening = True
        self._handle = os.pidfd_open(process.pid)
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._loop.add_reader(self._handle, self._reap)
        self._loop.add_reader(self._control, self._receive)

    @property
    def age_seconds(self) -> float:
        """How long ago it was started."""
        return self._loop.time() - self._started_at

    def tell(self, message: msgspec.Struct, *, descriptor: int | None = None) -> None:
        """Send a message to the process. It is lost if the process has ended."""
        try:
            control.send(self._control, message, descriptor=descriptor)
        except OSError:
            return

    def finish(self) -> None:
        """Tell the process to finish its work and exit."""
        if self.ended.done():
            return
        if self.kind == "etcd":
            self._process.terminate()
        else:
            self._control.shutdown(socket.SHUT_WR)

    async def end_within(self, seconds: float) -> bool:
        """Wait for its end, and kill it after `seconds`. Return whether it ended by itself."""
        if not self.ended.done():
            await asyncio.wait([self.ended], timeout=seconds)
        if self.ended.done():
            return True
        self._process.kill()
        await self.ended
        return False

    def _receive(self) -> bool:
        """Take a message, or the end of messages. Return whether there may be more."""
        try:
            received = control.receive(self._control, self._says)
        except BlockingIOError:
            return False
        except (OSError, *UNDECODABLE):
            received = None  # It broke the protocol or is gone. No more messages are read.
        if received is None:
            self._is_listening = False
            self._loop.remove_reader(self._control)
        else:
            self._on_message(received[0])
        return self._is_listening

    def _reap(self) -> None:
        """Read the last messages, then set `ended`."""
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        status = self._process.wait()
        # Until the end, or until nothing more comes: another process may hold the socket open.
        while self._is_listening and self._receive():
            pass
        self._loop.remove_reader(self._control)
        self._control.close()
        self._log.drain()
        self.ended.set_result(status)
