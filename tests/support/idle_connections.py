"""Holds many idle connections to a server, in a process of its own for the files they take.

    python -m tests.support.idle_connections PORT COUNT PATH

Each is made with a full handshake and has had a GET of the path answered. It prints how many it
holds once it has them all, and ends when its standard input does.
"""

import contextlib
import http.client
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import trusting_anyone

INFO = "/api/v1/info"
PORTS_OF_ONE_ADDRESS = 5_000
FILES_BESIDE = 100


def hold(port: int, count: int, path: str) -> list[socket.socket]:
    """Open so many connections, from as many addresses as that takes."""
    context, held = trusting_anyone(), []
    for number in range(count):
        source = f"127.0.0.{1 + number // PORTS_OF_ONE_ADDRESS}"
        plain = socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))
        tls = context.wrap_socket(plain)
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        answer = http.client.HTTPResponse(tls)
        answer.begin()
        assert (answer.status, bool(answer.read())) == (200, True)
        held.append(tls)
    return held


def files_allow(count: int) -> bool:
    """Whether both ends can have so many connections here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard == resource.RLIM_INFINITY or hard >= count + FILES_BESIDE


@contextlib.contextmanager
def idle_connections(port: int, count: int, path: str = INFO) -> Iterator[None]:
    """Hold so many idle connections until the block ends."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__, str(port), str(count), path],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{count}\n"
        yield
        assert process.stdin is not None
        process.stdin.close()


def main() -> None:
    port, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = hold(port, count, path)
    print(len(held), flush=True)  # noqa: T201 - that is what it is for
    sys.stdin.read()


if __name__ == "__main__":
    main()
