"""A real server in its own processes, for tests that go through TLS.

    def test_something(server):                     # fixture: one edge, Unprovisioned
        server.provision()
        status, headers, body = server.request("GET", "/users", user="admin")

    with running_server(tmp_path, edges=2) as server: ...

It listens on an ephemeral port of 127.0.0.1, keeps its data below `tmp_path`, and leaves no process
behind. `server.log()` is what it wrote to standard error.
"""

import base64
import contextlib
import fcntl
import http.client
import json as json_module
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

UNLOCK = "unlockPassphrase"
PASSPHRASES = {"admin": "adminPassphrase"}
START_SECONDS = 60
"""Patience, not a measure: on a machine whose CPUs are taken, interpreters start slowly."""
ANSWER_SECONDS = 180
"""The same for an answer: logins and new keys are computed at a low priority, after all others."""
STOP_SECONDS = 30

_READY = re.compile(r"keystead: ready on https://(\S+):(\d+) state=(\w+) tls-sha256=([0-9a-f]{64})")


class Answer(NamedTuple):
    """A response; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json_module.loads(self.body)


@dataclass
class Server:
    """A running `keystead serve`."""

    process: subprocess.Popen[str]
    data: Path
    log_file: Path
    output_file: Path
    host: str = ""
    port: int = 0
    ready_state: str = ""
    """The state in the last ready line that was waited for."""
    fingerprint: str = ""
    passphrases: dict[str, str] = field(default_factory=lambda: dict(PASSPHRASES))
    """Those of the users that `request(user=…)` knows; add yours."""

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    # --- requests --------------------------------------------------------------------------

    def request(  # noqa: PLR0913
        self,
        method: str,
        path: str,
        *,
        user: str | None = None,
        passphrase: str | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        """One request on a connection of its own; `path` is below /api/v1."""
        sent = dict(headers or {})
        if json is not None:
            body = json_module.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        if user is not None:
            known = self.passphrases.get(user, "") if passphrase is None else passphrase
            sent["Authorization"] = basic(user, known)
        connection = self.connect(timeout_seconds=timeout_seconds)
        with contextlib.closing(connection):
            connection.request(method, f"/api/v1{path}", body=body, headers=sent)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def connect(
        self, *, timeout_seconds: float = ANSWER_SECONDS, address: str = ""
    ) -> http.client.HTTPSConnection:
        """A keep-alive connection, from `address`, that does not check the certificate."""
        return http.client.HTTPSConnection(
            self.host,
            self.port,
            context=trusting_anyone(),
            timeout=timeout_seconds,
            source_address=(address, 0),
        )

    def state(self) -> str:
        return self.request("GET", "/health/state").json()["state"]

    def provision(self) -> None:
        answer = self.request(
            "POST",
            "/provision",
            json={
                "unlockPassphrase": UNLOCK,
                "adminPassphrase": self.passphrases["admin"],
                "systemTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
        )
        assert answer.status == 204, answer

    def unlock(self) -> None:
        answer = self.request("POST", "/unlock", json={"passphrase": UNLOCK})
        assert answer.status == 204, answer

    def add_user(self, name: str, role: str, *, by: str = "admin") -> str:
        """Add a user whose passphrase `request` knows from now on; return its name."""
        self.passphrases[name] = f"{name}Passphrase"
        answer = self.request(
            "PUT",
            f"/users/{name}",
            user=by,
            json={"realName": name, "role": role, "passphrase": self.passphrases[name]},
        )
        assert answer.status == 201, answer
        return name

    # --- processes -------------------------------------------------------------------------

    def children(self) -> dict[int, str]:
        """The process IDs of the server's children, with `edge`, `core` or `platform` for each."""
        found = {}
        for pid in _child_pids(self.pid):
            with contextlib.suppress(OSError, ValueError):  # Gone, or not there yet.
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                found[pid] = arguments[arguments.index("-m") + 1].rpartition(".")[2]
        return found

    def child(self, role: str) -> int:
        """The process ID of the one child with this role."""
        (pid,) = [pid for pid, its_role in self.children().items() if its_role == role]
        return pid

    def stop(self) -> int:
        """SIGTERM, and wait; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for the server to end by itself; return the exit status."""
        return self.process.wait(timeout=STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL the supervisor, which its processes follow: a crash of everything."""
        self._kill([self.pid])

    def kill_all(self) -> None:
        """SIGKILL every process at once: what a power cut does to them."""
        self._kill([self.pid, *self.children()])

    def _kill(self, pids: Sequence[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=60)
        # Until the last thread of the last process has ended, the data directory is in use.
        wait_until(self._has_let_go, seconds=60)

    def _has_let_go(self) -> bool:
        with contextlib.suppress(FileNotFoundError), (self.data / "keystead.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def log(self) -> str:
        return self.log_file.read_text()

    def wait_ready(self, *, times: int = 1) -> None:
        """Wait for the ready line of the `times`-th generation, and note what it says."""

        def ready() -> bool:
            lines = _READY.findall(self.output_file.read_text())
            if len(lines) >= times:
                host, port, self.ready_state, self.fingerprint = lines[-1]
                self.host, self.port = host, int(port)
            elif self.process.poll() is not None:
                raise AssertionError(f"the server ended early:\n{self.log()}")
            return len(lines) >= times

        wait_until(ready, seconds=START_SECONDS, what=lambda: f"no ready line:\n{self.log()}")


def start_server(  # noqa: PLR0913
    directory: Path,
    *,
    data: Path | None = None,
    listen: str = "127.0.0.1:0",
    edges: int = 1,
    environment: Mapping[str, str] | None = None,
    config: str | None = None,
    options: Sequence[str] = (),
    wrapper: Sequence[str] = (),
) -> Server:
    """Start a server without waiting; its output goes to files in `directory`.

    `config` is the text of a configuration file, to be made in `directory`; `options` are more of
    the command line's; `wrapper` is the command that runs it all.
    """
    data = data or directory / "data"
    log_file, output_file = directory / "server.log", directory / "server.out"
    command = [sys.executable, "-m", "keystead", "serve", f"--data={data}", f"--listen={listen}"]
    if config is not None:
        config_file = directory / "keystead.toml"
        config_file.write_text(config)
        command.append(f"--config={config_file}")
    with log_file.open("a") as log, output_file.open("w") as output:
        process = subprocess.Popen(  # noqa: S603
            [*wrapper, *command, f"--edges={edges}", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    return Server(process, data, log_file, output_file)


def copy_database(source: Path, target: Path) -> None:
    """Have the database of the data directory `source`, and no other, in `target`."""
    target.mkdir(exist_ok=True)
    for name in ("keystead.db", "keystead.db-wal", "keystead.db-shm"):
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copy(source / name, target / name)


@contextlib.contextmanager
def running_server(directory: Path, **options: Any) -> Iterator[Server]:
    """A server that is ready; it is stopped at the end, and killed when that does not work.

    Takes the options of `start_server`. To start the server again on the same data, use the same
    `directory` again.
    """
    server = start_server(directory, **options)
    try:
        server.wait_ready()
        yield server
        server.stop()
    finally:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with one edge, Unprovisioned."""
    with running_server(tmp_path) as running:
        yield running


@pytest.fixture
def provisioned_server(server: Server) -> Server:
    """A server with one edge, Operational, with the user `admin`."""
    server.provision()
    return server


def basic(user: str, passphrase: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{passphrase}".encode()).decode()


def trusting_anyone() -> ssl.SSLContext:
    # Not the default context: reading this machine's authorities takes 25 ms and more.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


BUSY: Final = 5
"""How many times as long as on a calm machine something may take before a test fails."""


def wait_until(condition: Any, *, seconds: float, what: Any = lambda: "not in time") -> None:
    """Wait until `condition()` is true; fail with `what()` if it takes BUSY times `seconds`."""
    give_up = time.monotonic() + BUSY * seconds
    while not condition():
        assert time.monotonic() < give_up, what()
        time.sleep(0.02)


def processor_seconds(pid: int) -> float:
    """The processor time that all threads of a process have taken, as clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def is_alive(pid: int) -> bool:
    """Whether the process exists; one that nobody has waited for yet counts as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _child_pids(parent: int) -> list[int]:
    children = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; the parent is the second after it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    children.append(int(entry.name))
    return children
