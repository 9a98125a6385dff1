"""Other people's servers, on loopback, for as long as a test needs them."""

import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

STOP_SECONDS = 60


def free_port() -> int:
    """Return a port that nobody listens on, below those that the kernel gives to connections."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def running(
    *command: str | Path, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a command that stays, with what it says in `log`, and stop it at the end."""
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - what the test names
            command, stdout=output, stderr=output, env=os.environ | (environment or {})
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=STOP_SECONDS)
