"""A TPM in software for tests, and a bus between it and us that can be listened to.

def test_something(swtpm):                      # fixture: a new TPM; skipped where there is none
    provider = InTpm(swtpm.tcti, PcrSelection.parse("sha256:7"))
    swtpm.extend(7)
    swtpm.restart()
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import wait_until

LIFE_SECONDS = 120


class PortTaken(Exception):
    """Something else listens on a port that was free a moment ago."""


class Swtpm:
    """A running swtpm on loopback, with a state of its own."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None
        for self.port in _pairs_of_ports():
            with contextlib.suppress(PortTaken):
                self.start()
                return
        raise PortTaken

    @property
    def tcti(self) -> str:
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def start(self) -> None:
        """Power on: PCRs begin anew, everything persistent is there."""
        command = [
            *("timeout", str(LIFE_SECONDS), "swtpm", "socket", "--tpm2"),
            *("--tpmstate", f"dir={self._state}"),
            *("--server", f"type=tcp,port={self.port},bindaddr=127.0.0.1"),
            *("--ctrl", f"type=tcp,port={self.port + 1},bindaddr=127.0.0.1"),
            *("--flags", "not-need-init,startup-clear"),
        ]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )
        wait_until(self._is_up, seconds=20, what=lambda: "no swtpm")

    def _is_up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise PortTaken
        # An swtpm opens the port for commands last.
        return _listens(self.port)

    def stop(self) -> None:
        if self._process is not None:
            # The group: `timeout` may not know its child yet when the signal comes.
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(timeout=20)
            wait_until(lambda: not self._has_ports(), seconds=20, what=lambda: "still there")
            self._process = None

    def _has_ports(self) -> bool:
        return _listens(self.port) or _listens(self.port + 1)

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextlib.contextmanager
    def esys(self) -> Iterator[Any]:
        """The TPM's commands, as the TSS names them."""
        from tpm2_pytss import ESAPI  # noqa: PLC0415 - may be missing

        with ESAPI(self.tcti) as esys:
            yield esys

    def extend(self, register: int) -> None:
        """Measure something into a PCR."""
        from tpm2_pytss import ESYS_TR  # noqa: PLC0415 - may be missing

        with self.esys() as esys:
            esys.pcr_event(ESYS_TR(register), b"another boot loader")

    def clear(self) -> None:
        """TPM2_Clear: the owner's seed, and with it every storage root key, is another one."""
        from tpm2_pytss import ESYS_TR  # noqa: PLC0415 - may be missing

        with self.esys() as esys:
            esys.clear(ESYS_TR.LOCKOUT)


class Bus:
    """What stands between us and a TPM, and keeps all bytes that go by in either direction."""

    def __init__(self, tpm: Swtpm) -> None:
        self.port, listeners = _listening_pair()
        self.seen = bytearray()
        self._open = list(listeners)
        for offset, listener in enumerate(listeners):
            threading.Thread(
                target=self._accept, args=(listener, tpm.port + offset), daemon=True
            ).start()

    @property
    def tcti(self) -> str:
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):  # Closed.
            while True:
                ours, _ = listener.accept()
                theirs = socket.create_connection(("127.0.0.1", port))
                self._open += [ours, theirs]
                for source, sink in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def passing(self, data: bytes) -> bytes:
        """Return what to pass on in the place of `data`."""
        self.seen += data
        return data

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(self.passing(data))
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def as_device(tpm: Swtpm) -> Iterator[str]:
    """The path of a TPM as a device file, which a process keeps open. It is a terminal in raw mode.

    The TSS connects to an swtpm anew for each command, which a confined process cannot.
    """
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    with socket.create_connection(("127.0.0.1", tpm.port)) as link:

        def commands() -> None:
            with contextlib.suppress(OSError):
                while data := os.read(ours, 4096):
                    link.sendall(data)

        def responses() -> None:
            with contextlib.suppress(OSError):
                while data := link.recv(4096):
                    os.write(ours, data)

        threads = [threading.Thread(target=pump) for pump in (commands, responses)]
        for thread in threads:
            thread.start()
        try:
            yield os.ttyname(theirs)
        finally:
            link.shutdown(socket.SHUT_RDWR)
            os.close(theirs)  # The last: reading the other end fails then.
            for thread in threads:
                thread.join(20)
            os.close(ours)


@contextlib.contextmanager
def software_tpm() -> Iterator[Swtpm]:
    """A new TPM; it is gone at the end."""
    pytest.importorskip("tpm2_pytss", exc_type=ImportError, reason="tpm2-pytss is not installed")
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed")
    with tempfile.TemporaryDirectory() as state:
        tpm = Swtpm(Path(state))
        try:
            yield tpm
        finally:
            tpm.stop()


@pytest.fixture
def swtpm() -> Iterator[Swtpm]:
    with software_tpm() as tpm:
        yield tpm


def _pairs_of_ports() -> Iterator[int]:
    """Some ports, each to be tried with the next one.

    They are below those that Linux takes for outgoing connections (from 32768 on): one of them
    may take any port there between a look and the use, and while a TPM is off.
    """
    return (random.randrange(10_000, 32_000, 2) for _ in range(20))  # noqa: S311 - no secret


def _listening_pair() -> tuple[int, Sequence[socket.socket]]:
    """Two listeners on a port and the next one."""
    for port in _pairs_of_ports():
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
            pair = [
                opened.enter_context(socket.create_server(("127.0.0.1", port + offset)))
                for offset in (0, 1)
            ]
            opened.pop_all()
            return port, pair
    raise PortTaken


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
