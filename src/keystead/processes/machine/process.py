"""Process 1 of the appliance: prepares the machine, runs the server, and ends the machine with it.

It holds no secret. The server's own supervisor is its only child; whatever else loses its parent
becomes a child too, and is reaped.
"""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from keystead import __version__
from keystead.errors import StartRefused
from keystead.processes.machine import boot, interface, kernel, network, power_button
from keystead.processes.machine.watch import Watch

PORT: Final = 8443
_OPEN_FILES: Final = 65536
"""Enough for all connections that the edges accept."""
_NOTICES: Final = Path("/run/notices")
_PAUSE_SECONDS: Final = 10.0
"""How long a reason for a restart stays on the screen."""


def tell(line: str) -> None:
    """Show a line on the console."""
    sys.stdout.write(f"keystead appliance: {line}\n")
    sys.stdout.flush()


class Machine:
    """The running appliance."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._is_restart = False

    async def run(self) -> int:
        """Run the server until it ends, and return what is to be asked of the kernel then."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGINT, self._restart)  # Ctrl-Alt-Del
        for descriptor in power_button.open_all():
            loop.add_reader(descriptor, self._input, descriptor)
        interface.loopback_up()
        connected = [self._connect(found) for found in interface.ethernet_interfaces()]
        watch = Watch(_NOTICES, self._kill)
        self._server = _start_server(watch.environment)
        status = await self._ended
        watch.close()
        for task in connected:
            task.cancel()
        return self._what_now(status)

    def _connect(self, found: interface.Interface) -> asyncio.Task[NoReturn]:
        found.bring_up()
        say = partial(_tell_of, found.name)
        return asyncio.get_running_loop().create_task(network.keep_address(found, say))

    def _what_now(self, status: int) -> int:
        if status == 0 and not self._is_restart:
            tell("powering off")
            return kernel.POWER_OFF
        if status:
            tell(f"the server ended with status {status}; restarting the machine")
            time.sleep(_PAUSE_SECONDS)
        return kernel.RESTART

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                process, status = found
                if self._server is not None and process == self._server.pid:
                    self._ended.set_result(os.waitstatus_to_exitcode(status))

    def _restart(self) -> None:
        self._is_restart = True
        self._stop()

    def _input(self, descriptor: int) -> None:
        if power_button.is_pressed(descriptor):
            tell("the power button was pressed")
            self._stop()

    def _kill(self) -> None:
        tell("the server does not answer any more")
        if self._server is not None and not self._ended.done():
            os.kill(self._server.pid, signal.SIGKILL)

    def _stop(self) -> None:
        if self._server is not None and not self._ended.done():
            os.kill(self._server.pid, signal.SIGTERM)


def _tell_of(name: str, line: str) -> None:
    tell(f"{name}: {line}; https on port {PORT}")


def _start_server(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "keystead", "serve"]
    where = [f"--data={boot.DATA}/keystead", f"--listen=[::]:{PORT}"]
    return subprocess.Popen([*command, *where], env=environment, cwd="/")  # noqa: S603 - our own interpreter and module


async def _run() -> int:
    return await Machine().run()


def main() -> NoReturn:
    """Be process 1. Whatever happens, the machine is restarted or powered off at the end."""
    if os.getpid() != 1:
        sys.exit("keystead.processes.machine runs as process 1 of the appliance only.")
    command = kernel.RESTART
    try:
        tell(f"version {__version__}")
        kernel.set_reboot(kernel.SIGNAL_ON_CTRL_ALT_DEL)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
        boot.prepare()
        command = asyncio.run(_run())
    except StartRefused as error:
        tell(error.message)
        time.sleep(_PAUSE_SECONDS)
    except BaseException:  # noqa: BLE001 - the kernel panics if process 1 ends
        traceback.print_exc()
        time.sleep(_PAUSE_SECONDS)
    boot.finish()
    kernel.set_reboot(command)
    sys.exit(1)
