"""New connections to a server, one after the other in many threads, in a process of its own.

    python -m tests.support.handshake_storm PORT

It lasts until its standard input ends. Each connection makes a full handshake and asks for one
thing. It prints how many there were.
"""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.idle_connections import INFO
from tests.support.server import trusting_anyone

THREADS = 16
GET = f"GET {INFO} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def keep_connecting(
    port: int, context: ssl.SSLContext, stopping: threading.Event, done: list[int]
) -> None:
    while not stopping.is_set():
        with contextlib.suppress(OSError):
            plain = socket.create_connection(("127.0.0.1", port), timeout=10)
            with context.wrap_socket(plain) as tls:
                tls.sendall(GET)
                done.append(len(tls.recv(1000)))


@contextlib.contextmanager
def handshake_storm(port: int) -> Iterator[None]:
    """Run the storm beside the block."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__, str(port)],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with process:
        yield
    assert process.returncode == 0, "no handshakes"


def main() -> None:
    port, context = int(sys.argv[1]), trusting_anyone()
    stopping, done = threading.Event(), list[int]()
    threads = [
        threading.Thread(target=keep_connecting, args=(port, context, stopping, done))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()
    assert done
    print(f"\nhandshakes: {len(done)}", flush=True)  # noqa: T201 - to be seen with pytest -s


if __name__ == "__main__":
    main()
