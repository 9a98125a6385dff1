"""Stands in for `docker` and `podman`: each container is a Keystead server on this machine.

The Rust clients' test suites start a container of NetHSM for each test, with one of these programs.
A folder with programs of the two names that run this module, first on their PATH, gives them
Keystead instead, and nothing of theirs is edited. KEYSTEAD_CONTAINERS names the folder in which the
servers keep their data.
"""

import contextlib
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path

from tests.support.server import STOP_SECONDS, is_alive, start_server, wait_until

_VERSION = '{"Client":{"ApiVersion":"1.47","APIVersion":"5.4.0","Version":"5.4.0"}}'
_NETHSM_READY = "listening on 8443/TCP for HTTPS"
"""The line in NetHSM's log that suites wait for."""


def run(folder: Path) -> None:
    """Start a server, and print the container's ID as soon as it answers."""
    container = folder / secrets.token_hex(32)
    container.mkdir(parents=True)
    server = start_server(container)
    (container / "pid").write_text(str(server.pid))
    server.wait_ready()
    (container / "address").write_text(f"{server.host}:{server.port}")
    print(container.name)  # noqa: T201


def stop(container: Path) -> None:
    """Stop a server, and remove what it stored."""
    pid = int((container / "pid").read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), seconds=STOP_SECONDS)
    shutil.rmtree(container)


def stop_all(folder: Path) -> None:
    """Stop the servers that a suite left behind."""
    for pid in folder.glob("*/pid"):
        stop(pid.parent)


def main(folder: Path, command: str, *arguments: str) -> int:
    """Do what `podman COMMAND ARGUMENTS…` does, as far as the suites use it."""
    match command, arguments:
        case "version", _:
            print(_VERSION)  # noqa: T201
        case "network", _:
            pass
        case "ps", _:
            print("[]")  # noqa: T201
        case "run", _:
            run(folder)
        case "logs", (*_, container):
            print(_NETHSM_READY, file=sys.stderr)  # noqa: T201
        case "port", (container, _):
            print((folder / container / "address").read_text())  # noqa: T201
        case (("stop" | "rm"), (container,)):
            stop(folder / container)
        case _:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(os.environ["KEYSTEAD_CONTAINERS"]), *sys.argv[1:]))
