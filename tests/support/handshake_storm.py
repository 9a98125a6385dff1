"""New connections to a server, one after the other in many threads, in a process of its own.

    python -m tests.support.handshake_storm PORT SECONDS

Each makes a full handshake and asks for one thing. It prints how many there were.
"""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.idle_connections import INFO
from tests.support.server import trusting_anyone

THREADS = 16
GET = f"GET {INFO} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def keep_connecting(port: int, context: ssl.SSLContext, until: float, done: list[int]) -> None:
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            plain = socket.create_connection(("127.0.0.1", port), timeout=10)
            with context.wrap_socket(plain) as tls:
                tls.sendall(GET)
                done.append(len(tls.recv(1000)))


@contextlib.contextmanager
def handshake_storm(port: int, seconds: float) -> Iterator[None]:
    """Run the storm beside the block, and wait for its end at the block's end."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__, str(port), str(seconds)], cwd=Path(__file__).parents[2]
    )
    with process:
        yield
    assert process.returncode == 0, "no handshakes"


def main() -> None:
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    context, until, done = trusting_anyone(), time.monotonic() + seconds, list[int]()
    threads = [
        threading.Thread(target=keep_connecting, args=(port, context, until, done))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done
    print(f"\nhandshakes: {len(done)}", flush=True)  # noqa: T201 - to be seen with pytest -s


if __name__ == "__main__":
    main()
