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
from keystead.platform.update_slot import UpdateSlot
from keystead.processes.machine import boot, interface, kernel, power_button, trial
from keystead.processes.machine.applied import AppliedSettings
from keystead.processes.machine.slots import Slots, Start
from keystead.processes.machine.watch import LIMIT_SECONDS, Watch
from keystead.processes.supervisor.notify import RESTART_STATUS

PORT: Final = 8443
DATA: Final = Path(boot.DATA, "keystead")
UPDATES: Final = DATA / "update"
CONFIGURATION: Final = Path("/etc/keystead/keystead.toml")
WITH_TPM: Final = Path("/etc/keystead/with-tpm.toml")
_TPM: Final = Path("/dev/tpmrm0")
_OPEN_FILES: Final = 65536
"""Enough for all connections that the edges accept."""
_OF_APPLIANCE: Final = ("--restarts-machine", "--configures-machine")
_NOTICES: Final = Path("/run/notices")
_KEY_WAITS: Final = b"X_KEYSTEAD_DEVICE_KEY=waits"
_PAUSE_SECONDS: Final = 10.0
"""How long a reason for a restart stays on the screen."""


def tell(line: str) -> None:
    """Show a line on the console."""
    sys.stdout.write(f"keystead appliance: {line}\n")
    sys.stdout.flush()


class Machine:
    """The running appliance."""

    def __init__(self, slots: Slots | None, start: Start) -> None:
        """Without slots, no update can be installed. `start` says how the running one came up."""
        self._slots = slots
        self._start = start
        self._key_waits = False
        self._server: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._is_restart = False
        self._is_stopped = False

    async def run(self) -> int:
        """Run the server until it ends, and return what is to be asked of the kernel then."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGINT, self._restart)  # Ctrl-Alt-Del
        for descriptor in power_button.open_all():
            loop.add_reader(descriptor, self._input, descriptor)
        interface.loopback_up()
        applied = AppliedSettings(interface.ethernet_interfaces(), tell, _tell_of)
        watch = Watch(_NOTICES, self._kill, partial(self._hear, applied))
        self._server = _start_server(watch.environment, self._slots, self._start)
        trying = loop.create_task(self._end_trial())
        status = await self._ended
        watch.close()
        applied.close()
        trying.cancel()
        return self._what_now(status)

    async def _end_trial(self) -> None:
        if self._slots is None or self._start is not Start.TRIAL:
            return
        if not await trial.becomes_healthy(partial(trial.answers, "::1", PORT)):
            tell("the server does not answer")
            self._restart()
            return
        try:
            self._slots.confirm()
        except OSError as error:
            tell(f"the slot cannot be confirmed: {error}")
            self._restart()
            return
        tell(f"slot {self._slots.running.value} is confirmed")
        if self._key_waits:
            tell("restarting once more, to seal the device key to this image")
            self._restart()

    def _hear(self, applied: AppliedSettings, notice: bytes) -> None:
        if notice == _KEY_WAITS:
            self._key_waits = True
        else:
            applied.hear(notice)

    def _what_now(self, status: int) -> int:
        if status == RESTART_STATUS:
            self._install()
            tell("restarting")
        elif not self._is_restart and (status == 0 or self._is_stopped):
            tell("powering off")
            return kernel.POWER_OFF
        elif status:
            tell(f"the server ended with status {status}; restarting the machine")
            time.sleep(_PAUSE_SECONDS)
        return kernel.RESTART

    def _install(self) -> None:
        if self._slots is None:
            return
        # It loads the cryptography, which takes time and memory that only an update needs.
        from keystead.processes.machine.installation import install_committed  # noqa: PLC0415

        install_committed(self._slots, UpdateSlot(UPDATES), tell)

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
            self._is_stopped = True
            os.kill(self._server.pid, signal.SIGTERM)
            asyncio.get_running_loop().call_later(LIMIT_SECONDS, self._kill)


def _tell_of(name: str, line: str) -> None:
    tell(f"{name}: {line}; https on port {PORT}")


def _start_server(
    environment: Mapping[str, str], slots: Slots | None, start: Start
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "keystead", "serve", *_OF_APPLIANCE]
    configuration = WITH_TPM if _TPM.exists() and WITH_TPM.exists() else CONFIGURATION
    where = [f"--config={configuration}", f"--data={DATA}", f"--listen=[::]:{PORT}"]
    image = "confirmed" if start.is_of_confirmed else "trial"
    updates = [f"--image={image}", *([] if slots is None else ["--has-installer"])]
    return subprocess.Popen([*command, *where, *updates], env=environment, cwd="/")  # noqa: S603 - our own interpreter and module


def _begin_slots() -> tuple[Slots | None, Start]:
    """Return the slots, and how the running one came up. None: this machine has none."""
    try:
        slots = boot.find_slots()
        start = slots.begin()
    except (OSError, StartRefused) as error:
        tell(f"no updates: {error}")
        return None, Start.CONFIRMED
    try:
        UpdateSlot(UPDATES).take_committed()  # A power cut has ended what was committed.
    except OSError as error:  # The server has written there. The trial counts all the same.
        tell(f"the update that was committed cannot be dropped: {error}")
    running = slots.running
    tell(start.value.format(running=running.value, other=running.other.value))
    return slots, start


async def _run() -> int:
    return await Machine(*_begin_slots()).run()


def main() -> NoReturn:
    """Be process 1. Whatever happens, the machine is restarted or powered off at the end."""
    if os.getpid() != 1:
        sys.exit("keystead.processes.machine runs as process 1 of the appliance only.")
    command = kernel.RESTART
    try:
        tell(f"version {__version__}")
        kernel.set_reboot(kernel.SIGNAL_ON_CTRL_ALT_DEL)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
        for line in boot.prepare():
            tell(f"the data partition was repaired: {line}")
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
