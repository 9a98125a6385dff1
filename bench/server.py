"""A server to measure: started, provisioned, asked and stopped by the benchmark."""

import base64
import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from bench.load import Load, Target, run_wrk
from bench.processes import cpu_seconds, cpu_us_per_request

PREFIX = "/api/v1"
_PATIENCE_SECONDS = 60
_ADMIN = ("admin", "bench admin passphrase")
OPERATOR_CREDENTIALS = ("operator", "bench operator passphrase")


def basic(user: str, passphrase: str) -> str:
    """Return an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{passphrase}".encode()).decode()


ADMIN = basic(*_ADMIN)
OPERATOR = basic(*OPERATOR_CREDENTIALS)


def trusting_anyone() -> ssl.SSLContext:
    """Return a context that does not check the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True)
class Measured:
    """A load and the CPU that it took, in microseconds a request by process."""

    load: Load
    cpu_us: dict[str, float]


class Server:
    """`keystead serve` on a port of its own, on a data directory of its own or a filled one."""

    def __init__(self, data: Path, *, edges: int = 1, options: Sequence[str] = ()) -> None:
        """Start it. RuntimeError when it does not become ready."""
        command = [sys.executable, "-m", "keystead", "serve", "--listen", "127.0.0.1:0"]
        began = time.monotonic()
        with data.with_suffix(".log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--data", str(data), "--edges", str(edges), *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        ready = self._process.stdout.readline() if self._process.stdout else ""
        if "ready" not in ready:
            raise RuntimeError(f"the server did not start: {ready!r}; see {log.name}")
        self.start_seconds = time.monotonic() - began
        self.origin = next(word for word in ready.split() if word.startswith("https://"))
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(_PATIENCE_SECONDS)
        if self._process.stdout:
            self._process.stdout.close()

    def provision(self) -> None:
        """Make it Operational, now and at each start, with an Operator."""
        self.ask("POST", "/provision", _PROVISION)
        self.ask("PUT", "/config/unattended-boot", {"status": "on"})
        self.add_operator(*OPERATOR_CREDENTIALS)

    def add_operator(self, name: str, passphrase: str) -> None:
        """Add a user who may sign."""
        user = {"realName": name, "role": "Operator", "passphrase": passphrase}
        self.ask("PUT", f"/users/{name}", user)

    def generate(
        self, key_id: str, key_type: str, mechanism: str, length: int | None = None
    ) -> None:
        """Have the server make a key."""
        wanted: dict[str, object] = {"id": key_id, "type": key_type, "mechanisms": [mechanism]}
        self.ask("POST", "/keys/generate", wanted | ({"length": length} if length else {}))

    def ask(self, method: str, path: str, content: object = None) -> bytes:
        """Return the answer to an Administrator. RuntimeError when it is an error."""
        with self.connected() as connection:
            return ask(connection, method, path, content, authorization=ADMIN)

    def ask_as_operator(self, path: str, content: object) -> bytes:
        """Return the answer to an Operator's POST. RuntimeError when it is an error."""
        with self.connected() as connection:
            return ask(connection, "POST", path, content)

    @contextmanager
    def connected(self, address: str = "") -> Iterator[http.client.HTTPSConnection]:
        """Keep a connection open, from this address of the machine."""
        connection = http.client.HTTPSConnection(
            urlsplit(self.origin).netloc,
            context=trusting_anyone(),
            timeout=_PATIENCE_SECONDS,
            source_address=(address, 0),
        )
        try:
            yield connection
        finally:
            connection.close()

    def load(
        self,
        paths: Sequence[str],
        content: object,
        *,
        connections: int,
        seconds: float,
        authorization: str = OPERATOR,
        method: str = "POST",
    ) -> Measured:
        """Load these paths in turn with one request body."""
        before = cpu_seconds(self.pid)
        load = run_wrk(
            self.origin,
            [Target(PREFIX + path, authorization) for path in paths],
            body=json.dumps(content),
            connections=connections,
            seconds=seconds,
            method=method,
        )
        return Measured(load, cpu_us_per_request(before, cpu_seconds(self.pid), load.requests))


_PROVISION = {
    "unlockPassphrase": "bench unlock passphrase",
    "adminPassphrase": _ADMIN[1],
    "systemTime": "2024-01-01T00:00:00Z",
}


def ask(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    content: object = None,
    *,
    authorization: str = OPERATOR,
) -> bytes:
    """Return the body of an answer. RuntimeError when it is an error."""
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    body = None if content is None else json.dumps(content)
    connection.request(method, PREFIX + path, body=body, headers=headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= http.HTTPStatus.BAD_REQUEST:
        raise RuntimeError(f"{method} {path}: {answer.status} {said.decode(errors='replace')}")
    return said
