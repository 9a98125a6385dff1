"""What happens to the service when one of its processes dies, or an administrator restarts it."""

import http.client
import os
import select
import signal
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.server import (
    UNLOCK,
    Server,
    basic,
    is_alive,
    processor_seconds,
    running_server,
    start_server,
    wait_until,
)

BEGUN_SECONDS = 0.02
"""Of the core's processor time: only a check of a passphrase takes it that long."""


def killed(server, role) -> int:
    pid = server.child(role)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), seconds=60)
    return pid


def test_a_killed_edge_is_replaced_and_service_goes_on(provisioned_server):
    server = provisioned_server
    core, edge = server.child("core"), killed(server, "edge")
    assert server.state() == "Operational", "waits in the backlog for the next edge"
    assert server.child("core") == core
    assert server.child("edge") != edge
    assert '"event": "edge ended unexpectedly", "edge": 0, "status": -9' in server.log()


def test_where_memory_runs_out_the_kernel_ends_an_edge_first(server):
    scores = {
        role: int(Path(f"/proc/{pid}/oom_score").read_text())
        for pid, role in server.children().items()
    }
    assert scores["edge"] > max(scores["core"], scores["platform"])


def test_the_other_edge_serves_while_one_is_replaced(tmp_path):
    with running_server(tmp_path, edges=2) as server:
        first = min(pid for pid, role in server.children().items() if role == "edge")
        os.kill(first, signal.SIGKILL)
        assert [server.state() for _ in range(20)] == ["Unprovisioned"] * 20
        wait_until(lambda: len(server.children()) == 4, seconds=10)


@pytest.mark.parametrize("role", ["core", "platform"])
def test_after_a_crash_of_core_or_platform_it_comes_back_locked(provisioned_server, role):
    server = provisioned_server
    killed(server, role)
    server.wait_ready(times=2)
    assert server.ready_state == "Locked"
    assert f'"event": "process ended unexpectedly", "name": "{role}", "status": -9' in server.log()
    server.unlock()
    assert server.request("GET", "/users", user="admin").json() == [{"user": "admin"}]


def test_with_unattended_boot_it_comes_back_operational(provisioned_server):
    server = provisioned_server
    answer = server.request("PUT", "/config/unattended-boot", user="admin", json={"status": "on"})
    assert answer.status == 204
    killed(server, "core")
    server.wait_ready(times=2)
    assert server.state() == "Operational"


def test_what_was_acknowledged_survives_sigkill_of_everything(tmp_path):
    with running_server(tmp_path) as server:
        server.provision()
        server.add_user("operator", "Operator")
        server.kill()
    with running_server(tmp_path) as server:
        assert server.ready_state == "Locked"
        server.unlock()
        users = server.request("GET", "/users", user="admin").json()
        assert users == [{"user": "admin"}, {"user": "operator"}]


def test_a_reboot_keeps_the_port_and_ends_locked(provisioned_server):
    server = provisioned_server
    port, children = server.port, set(server.children())
    assert server.request("POST", "/system/reboot", user="admin").status == 204
    server.wait_ready(times=2)
    assert server.port == port
    assert server.state() == "Locked"
    assert children.isdisjoint(server.children())


def test_no_connection_is_refused_during_a_reboot(provisioned_server):
    server = provisioned_server
    refused, done = [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                server.state()
            except ConnectionRefusedError as error:
                refused.append(error)
            except OSError:
                continue  # Idle when the edge went: any client has to try again.

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert server.request("POST", "/system/reboot", user="admin").status == 204
        server.wait_ready(times=2)
    finally:
        done.set()
        asking.join()
    assert not refused


def test_a_shutdown_ends_the_server_with_status_0(provisioned_server):
    server = provisioned_server
    assert server.request("POST", "/system/shutdown", user="admin").status == 204
    assert server.wait() == 0


def test_a_factory_reset_destroys_the_device_key_and_comes_back_unprovisioned(provisioned_server):
    server = provisioned_server
    before = (server.data / "device.key").read_bytes()
    assert server.request("POST", "/system/factory-reset", user="admin").status == 204
    server.wait_ready(times=2)
    assert server.state() == "Unprovisioned"
    assert (server.data / "device.key").read_bytes() != before
    server.provision()
    assert server.state() == "Operational"


def test_a_factory_reset_that_was_acknowledged_is_finished_after_sigkill(tmp_path):
    with running_server(tmp_path) as server:
        server.provision()
        assert server.request("POST", "/system/factory-reset", user="admin").status == 204
        server.kill()
    with running_server(tmp_path) as server:
        assert server.state() == "Unprovisioned"


def send(
    connection: http.client.HTTPSConnection, method: str, path: str, server: Server, user: str
) -> http.client.HTTPSConnection:
    headers = {"Authorization": basic(user, server.passphrases[user])}
    connection.request(method, f"/api/v1{path}", headers=headers)
    return connection


def both_acknowledged(server, first: str, second: str) -> None:
    """Have `second` wait for the check of a passphrase while `first` is acknowledged."""
    server.add_user("other", "Administrator")
    core = server.child("core")
    with closing(server.connect()) as quick, closing(server.connect()) as slow:
        for connection in (quick, slow):  # Then the handshakes are over, and the admin is known.
            assert send(connection, "GET", "/users", server, "admin").getresponse().read()
        began = processor_seconds(core)
        send(slow, "POST", f"/system/{second}", server, "other")
        wait_until(lambda: processor_seconds(core) > began + BEGUN_SECONDS, seconds=60)
        assert send(quick, "POST", f"/system/{first}", server, "admin").getresponse().status == 204
        assert not select.select([slow.sock], [], [], 0)[0], "the second was to be decided later"
        assert slow.getresponse().status == 204


@pytest.mark.parametrize("first", ["reboot", "shutdown"])
def test_a_factory_reset_that_another_action_overtakes_is_done_nevertheless(
    provisioned_server, first
):
    server = provisioned_server
    both_acknowledged(server, first, "factory-reset")
    if first == "shutdown":
        assert server.wait() == 0
        assert not (server.data / "keystead.db").exists()
    else:
        server.wait_ready(times=2)
        assert server.state() == "Unprovisioned"
    assert not (server.data / "reset.pending").exists()


@pytest.mark.parametrize("first", ["reboot", "factory-reset"])
def test_a_shutdown_that_another_action_overtakes_ends_the_server(provisioned_server, first):
    server = provisioned_server
    both_acknowledged(server, first, "shutdown")
    assert server.wait() == 0
    assert (server.data / "keystead.db").exists() == (first == "reboot")


def test_a_core_that_cannot_start_makes_the_server_give_up(tmp_path):
    with running_server(tmp_path) as server:
        server.provision()
    database = server.data / "keystead.db"
    database.write_bytes(database.read_bytes()[:4096])
    server.log_file.write_text("")
    with pytest.raises(AssertionError, match="ended early"), running_server(tmp_path):
        pass
    assert server.log().splitlines()[-1].startswith("keystead: ")


def test_when_no_generation_comes_up_the_server_gives_up(tmp_path):
    server = start_server(tmp_path)

    def kill_platforms() -> bool:
        for pid, role in server.children().items():
            if role == "platform":
                os.kill(pid, signal.SIGKILL)
        return server.process.poll() is not None

    try:
        wait_until(kill_platforms, seconds=30)
    except AssertionError:
        server.kill_all()
        raise
    assert server.wait() == 1
    assert server.log().splitlines()[-1] == "keystead: Gave up: 5 starts in a row have failed."
    assert server.output_file.read_text() == ""


def test_an_edge_that_keeps_dying_is_replaced_ever_more_slowly(server):
    for _ in range(6):
        edges = [pid for pid, role in server.children().items() if role == "edge"]
        for pid in edges:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda edges=edges: not any(map(is_alive, edges)), seconds=60)
        wait_until(lambda: "edge" in server.children().values(), seconds=10)
    assert server.state() == "Unprovisioned"
    assert list(server.children().values()).count("edge") == 1


def test_an_unlock_passphrase_of_someone_else_does_not_unlock(provisioned_server):
    killed(provisioned_server, "core")
    provisioned_server.wait_ready(times=2)
    wrong = provisioned_server.request("POST", "/unlock", json={"passphrase": UNLOCK + "x"})
    assert wrong.status == 403
    assert provisioned_server.state() == "Locked"
