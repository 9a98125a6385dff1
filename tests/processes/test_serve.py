"""`keystead serve` as an operator sees it: start, stop, refusals."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from keystead.processes.supervisor import notify
from keystead.processes.supervisor.notify import ServiceManager
from tests.support.server import is_alive, running_server, start_server, wait_until


def ended_with(process_directory, **options) -> tuple[int, str]:
    server = start_server(process_directory, **options)
    status = server.wait()
    return status, server.log()


def test_it_says_when_it_is_ready_and_answers_in_that_state(server):
    assert server.ready_state == "Unprovisioned"
    assert server.state() == "Unprovisioned"
    assert '"passphrases_at_once": 4' in server.log()


def test_the_data_directory_is_made_for_its_owner_alone(server):
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert all(entry.stat().st_mode & 0o077 == 0 for entry in server.data.iterdir())


def test_sigterm_ends_it_with_status_0_and_no_process_left(server):
    children = server.children()
    assert sorted(children.values()) == ["core", "edge", "platform"]
    assert server.stop() == 0
    assert not [pid for pid in children if is_alive(pid)]
    assert "killed" not in server.log()


def test_sigkill_of_the_supervisor_leaves_no_orphan(server):
    children = server.children()
    server.process.kill()
    wait_until(lambda: not [pid for pid in children if is_alive(pid)], seconds=60)


def test_a_second_server_on_the_same_data_is_refused(server, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    status, log = ended_with(other, data=server.data)
    assert status == 1
    assert log.startswith("keystead: The data directory")
    assert log.count("\n") == 1
    assert server.state() == "Unprovisioned"


def test_a_busy_port_is_refused_before_the_data_directory_is_made(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        status, log = ended_with(tmp_path, listen=f"127.0.0.1:{busy.getsockname()[1]}")
    assert status == 1
    assert log.startswith("keystead: Cannot listen on 127.0.0.1:")
    assert "in use. --listen HOST:PORT chooses another address." in log
    assert log.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_directory_of_someone_else_is_refused_and_left_as_it_is(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "photo.jpg").write_bytes(b"x")
    status, log = ended_with(tmp_path)
    assert status == 1
    assert "holds something other" in log
    assert [entry.name for entry in data.iterdir()] == ["photo.jpg"]


def test_a_missing_device_key_is_refused_with_one_line_and_not_replaced(tmp_path):
    with running_server(tmp_path) as server:
        server.provision()
    (server.data / "device.key").unlink()
    server.log_file.write_text("")
    status, log = ended_with(tmp_path)
    assert status == 1
    assert [line for line in log.splitlines() if line.startswith("keystead:")] == [
        log.splitlines()[-1]
    ]
    assert "is missing" in log
    assert not (server.data / "device.key").exists()


def test_a_store_of_a_newer_version_is_refused_with_one_line_and_left_as_it_is(tmp_path):
    with running_server(tmp_path) as server:
        server.provision()
    database = server.data / "keystead.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = {entry.name: entry.read_bytes() for entry in server.data.iterdir()}
    server.log_file.write_text("")
    status, log = ended_with(tmp_path)
    assert status == 1
    assert log.splitlines()[-1].startswith("keystead: ")
    assert "has format version 99" in log
    after = {entry.name: entry.read_bytes() for entry in server.data.iterdir()}
    assert after | {"keystead.lock": b""} == before | {"keystead.lock": b""}


def test_a_file_in_place_of_the_data_directory_is_refused(tmp_path):
    (tmp_path / "data").write_bytes(b"mine")
    status, log = ended_with(tmp_path)
    assert status == 1
    assert log.startswith("keystead: The data directory")
    assert (tmp_path / "data").read_bytes() == b"mine"


def test_a_stop_while_starting_ends_it_with_status_0(tmp_path):
    server = start_server(tmp_path)
    wait_until(server.children, seconds=10)
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ("8443", "'8443' is not HOST:PORT"),
        ("host:x", "'host:x' is not HOST:PORT"),
        ("::1:8443", "an IPv6 address needs brackets: [::1]:8443"),
        ("127.0.0.1:99999", "'127.0.0.1:99999' is not HOST:PORT"),
    ],
)
def test_a_malformed_address_is_a_usage_error_that_says_what_is_wrong(listen, reason, tmp_path):
    status, log = ended_with(tmp_path, listen=listen)
    assert status == 2
    assert "usage:" in log
    assert log.endswith(f"--listen: {reason}\n")


def test_localhost_is_served_on_both_loopbacks(tmp_path):
    with running_server(tmp_path, listen="localhost:0") as server:
        assert server.host == "localhost"
        for host in ("127.0.0.1", "::1"):
            try:
                socket.create_connection((host, server.port), timeout=60).close()
            except OSError:
                assert host == "::1", "127.0.0.1 is always there"


def test_the_service_manager_hears_ready_and_stopping(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = tmp_path / "notify"
        manager.bind(str(path))
        manager.settimeout(20)
        with running_server(tmp_path, environment={"NOTIFY_SOCKET": str(path)}):
            assert manager.recv(4096).startswith(b"READY=1\nSTATUS=ready on https://127.0.0.1:")
        assert manager.recv(4096) == b"STOPPING=1"


def test_process_1_of_the_appliance_is_told_the_network_and_the_time_server(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        options = ["--configures-machine"]
        with running_server(tmp_path, environment=environment, options=options) as server:
            told = {manager.recv(4096) for _ in range(3)}
            server.provision()
            network = {"ipAddress": "192.0.2.7", "netmask": "255.255.255.0"}
            answer = server.request("PUT", "/config/network", user="admin", json=network)
            assert answer.status == 204, answer
            on_trial = manager.recv(4096)
    assert b"X_KEYSTEAD_TIME_SERVER=" in told
    assert any(line.startswith(b'X_KEYSTEAD_NETWORK={"ipAddress":"0.0.0.0"') for line in told)
    assert on_trial.startswith(b'X_KEYSTEAD_NETWORK_TRIAL={"ipAddress":"192.0.2.7"')


WITHOUT_NAMES = (
    *("unshare", "--mount", "sh", "-ec"),
    'mount --bind /dev/null /etc/hosts; mount --bind /dev/null /etc/resolv.conf; exec "$@"',
    "sh",
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide /etc/hosts")
def test_it_starts_where_not_even_localhost_has_an_address(tmp_path):
    with running_server(tmp_path, wrapper=WITHOUT_NAMES) as server:
        assert server.state() == "Unprovisioned"


def watched_for(manager, seconds) -> int:
    """How many signs of life the service manager gets within so many seconds."""
    manager.settimeout(0.2)
    signs, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            signs += manager.recv(4096) == b"WATCHDOG=1"
    return signs


def test_the_watchdog_hears_of_the_core_as_long_as_it_answers(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        with running_server(tmp_path, environment=environment) as server:
            wait_until(lambda: watched_for(manager, 1), seconds=10)
            os.kill(server.child("core"), signal.SIGSTOP)
            watched_for(manager, 1)  # What was on its way.
            assert watched_for(manager, 2) == 0
            os.kill(server.child("core"), signal.SIGCONT)
            wait_until(lambda: watched_for(manager, 1), seconds=10)


def test_a_service_manager_that_does_not_read_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(notify, "_PATIENCE_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        told = ServiceManager(str(tmp_path / "notify"))

        def tell():
            for _ in range(1000):  # The system keeps 10 to 512 that are unread.
                told.tell_alive()
            told.tell(READY="1")

        telling = threading.Thread(target=tell, daemon=True)
        telling.start()
        telling.join(timeout=60)
        assert not telling.is_alive()
        assert manager.recv(4096) == b"WATCHDOG=1"


def test_a_service_manager_that_is_busy_still_hears_that_the_server_is_ready(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        told = ServiceManager(str(tmp_path / "notify"))
        for _ in range(1000):
            told.tell_alive()
        telling = threading.Thread(target=lambda: told.tell(READY="1"), daemon=True)
        telling.start()
        manager.settimeout(60)
        while manager.recv(4096) != b"READY=1":
            pass


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_for_this_process_there_is_no_limit(environment):
    assert ServiceManager.of_environment(environment).watchdog_seconds is None


def test_the_edge_process_loads_no_key_handling_code():
    program = "import sys, keystead.processes.edge.process\nprint(*sys.modules, sep='\\n')"
    loaded = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    allowed = ("keystead.edge", "keystead.wire", "keystead.errors", "keystead.processes")
    ours = [name for name in loaded if name.startswith("keystead.")]
    assert "keystead.edge.server" in ours
    assert not [name for name in ours if not name.startswith(allowed)]
    foreign = {name.partition(".")[0] for name in loaded}
    assert not foreign & {
        "cryptography",
        "_btclib_libsecp256k1",
        "Crypto",
        "_cffi_backend",
        "sqlite3",
    }
