"""Floods of connections and logins against a real server, while users who are in go on working.

KEYSTEAD_FLOOD=full takes the full number of connections and a longer storm; `make flood` does.
"""

import contextlib
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest

from tests.support.handshake_storm import handshake_storm
from tests.support.idle_connections import files_allow, idle_connections
from tests.support.server import Server, basic, running_server, trusting_anyone, wait_until
from tests.support.signer import Signer

IS_FULL = os.environ.get("KEYSTEAD_FLOOD") == "full"
IDLE_CONNECTIONS = 10_000 if IS_FULL else 1_000
PART_SECONDS = 5 if IS_FULL else 1.5
PARTS = 12
STORM_CLIENTS = 40
NOT_NOTICED_SECONDS = 0.05
BYTES_PER_IDLE_CONNECTION = 36 * 1024
BYTES_PER_CONNECTION_AFTER_A_LONG_ANSWER = 64 * 1024
GET = b"GET /api/v1/info HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def signing_server(tmp_path_factory) -> Iterator[Server]:
    """A server with the Operator `signer` and the P-256 key `key`."""
    with running_server(tmp_path_factory.mktemp("flooded")) as server:
        server.provision()
        server.add_user("signer", "Operator")
        server.add_user("late", "Operator")
        made = server.request(
            "POST",
            "/keys/generate",
            user="admin",
            json={"id": "key", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]},
        )
        assert made.status == 201, made
        yield server


def least_p99(signer: Signer) -> float:
    """Return the first p99 that nobody notices, of PARTS parts of time, or the least of them.

    What a flood does shows in all of them, what else this machine does not.
    """
    least = inf
    for _ in range(PARTS):
        signer.seconds.clear()
        time.sleep(PART_SECONDS)
        least = min(least, signer.percentile(0.99))
        if least < NOT_NOTICED_SECONDS:
            break
    return least


def tell(what: str, figure: float) -> None:
    """Print a figure, to be seen with `pytest -s`."""
    print(f"\n{what}: {figure:.6g}")  # noqa: T201 - see above


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not files_allow(IDLE_CONNECTIONS), reason="the limit on open files is lower")
def test_idle_connections_take_little_memory_and_signing_goes_on(signing_server):
    edge = signing_server.child("edge")
    before = resident_bytes(edge)
    with Signer(signing_server) as signer:
        with idle_connections(signing_server.port, IDLE_CONNECTIONS):
            signer.seconds.clear()  # While they shake hands, it shares the edge with that.
            p99 = least_p99(signer)
            each = (resident_bytes(edge) - before) // IDLE_CONNECTIONS
        tell("bytes for each idle connection", each)
        tell("p99 while they are held", p99)
    assert each < BYTES_PER_IDLE_CONNECTION
    assert signer.statuses == {200}
    assert p99 < NOT_NOTICED_SECONDS


@pytest.mark.skipif(not files_allow(IDLE_CONNECTIONS), reason="the limit on open files is lower")
def test_connections_that_had_a_long_answer_take_little_memory(signing_server):
    edge = signing_server.child("edge")
    before = resident_bytes(edge)
    path = "/api/v1/openapi.json"
    with idle_connections(signing_server.port, IDLE_CONNECTIONS, path):
        each = (resident_bytes(edge) - before) // IDLE_CONNECTIONS
    tell("bytes for each connection that had a long answer", each)
    assert each < BYTES_PER_CONNECTION_AFTER_A_LONG_ANSWER


def test_the_unlock_key_is_derived_as_urgently_as_the_edges_work(signing_server):
    core, edge = signing_server.child("core"), signing_server.child("edge")
    urgent = os.getpriority(os.PRIO_PROCESS, edge)
    threads = [int(task.name) for task in Path(f"/proc/{core}/task").iterdir()]
    as_urgent = [one for one in threads if os.getpriority(os.PRIO_PROCESS, one) == urgent]
    assert core in as_urgent
    assert len(as_urgent) == 2 < len(threads), "the event loop, and the thread for unlocking"


def test_a_storm_of_handshakes_does_not_slow_down_who_is_connected(signing_server):
    with Signer(signing_server) as signer, handshake_storm(signing_server.port):
        time.sleep(1)
        p99 = least_p99(signer)
        tell("p99 in a storm of handshakes", p99)
    assert signer.statuses == {200}
    assert p99 < NOT_NOTICED_SECONDS


def test_a_login_storm_neither_slows_down_who_is_in_nor_keeps_others_out(signing_server):
    statuses: list[int] = []
    with Signer(signing_server) as signer:
        with Storm(signing_server, statuses):
            p99 = least_p99(signer)
            assert log_in_from(signing_server, "127.0.0.2") == 200
        tell("p99 in a storm of logins", p99)
    tell("logins tried", len(statuses))
    assert signer.statuses == {200}
    assert set(statuses) <= {401, 429, 503}
    assert 401 in statuses  # They fit into the queue; test_work_pool fills it.
    assert p99 < NOT_NOTICED_SECONDS


def log_in_from(server: Server, address: str) -> int:
    """Log in as a user who is not in yet."""
    headers = {"Authorization": basic("late", server.passphrases["late"])}
    with contextlib.closing(server.connect(timeout_seconds=120, address=address)) as connection:
        connection.request("GET", "/api/v1/keys", headers=headers)
        return connection.getresponse().status


class Storm:
    """Clients that log in with one made-up user after the other, as fast as they are answered."""

    def __init__(self, server: Server, statuses: list[int]) -> None:
        self._server = server
        self._statuses = statuses
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(STORM_CLIENTS)
        ]

    def _run(self, number: int) -> None:
        # A busy machine gives the threads that verify passphrases little time.
        with contextlib.closing(self._server.connect(timeout_seconds=120)) as connection:
            attempt = 0
            while not self._stopping.is_set():
                attempt += 1
                header = basic(f"nobody{number}x{attempt}", "wrong passphrase")
                connection.request("GET", "/api/v1/users", headers={"Authorization": header})
                answer = connection.getresponse()
                answer.read()
                self._statuses.append(answer.status)
                if answer.status == 503:
                    assert answer.headers["Retry-After"]
                    self._stopping.wait(0.05)  # Otherwise this process is what gets slow.

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def test_who_is_slow_to_begin_is_closed_after_ten_seconds(signing_server):
    address = ("127.0.0.1", signing_server.port)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        in_handshake = stack.enter_context(socket.create_connection(address, timeout=60))
        silent, slow = (
            stack.enter_context(
                trusting_anyone().wrap_socket(socket.create_connection(address, timeout=60))
            )
            for _ in range(2)
        )
        for byte in GET[:18]:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                slow.sendall(bytes([byte]))
            time.sleep(0.6)
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert silent.recv(1) == b""
        assert in_handshake.recv(1) == b""
    assert 9.5 < time.monotonic() - began < 45


def test_with_few_files_few_connections_are_taken_the_log_says_so_and_nobody_is_kept_out(
    provisioned_server,
):
    server, files = provisioned_server, 100
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (files, files))
    os.kill(server.child("edge"), 9)
    wait_until(lambda: "allows few connections" in server.log(), seconds=20)
    with contextlib.ExitStack() as stack:
        context = trusting_anyone()
        for _ in range(2 * files):
            plain = socket.create_connection((server.host, server.port), timeout=60)
            stack.enter_context(context.wrap_socket(plain))
        assert server.request("GET", "/users", user="admin").status == 200
