"""Unattended boot of a real server: an old database put back, and the processes killed."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.server import Server, copy_database, running_server

PATH = "/config/unattended-boot"
NOT_OPENED = "the unattended key does not fit the database"


def turn(server: Server, status: str) -> None:
    answer = server.request("PUT", PATH, user="admin", json={"status": status})
    assert answer.status == 204, answer


def test_an_old_database_beside_todays_keys_comes_up_locked(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.provision()
        server.add_user("leaver", "Operator")
        turn(server, "on")
        server.stop()
    copy_database(server.data, tmp_path / "old")
    assert len((server.data / "unattended.key").read_bytes()) == 32
    with running_server(tmp_path) as server:
        assert server.ready_state == "Operational"
        assert server.request("DELETE", "/users/leaver", user="admin").status == 204
        turn(server, "off")
        server.stop()
    assert (server.data / "unattended.key").read_bytes() == b""
    copy_database(tmp_path / "old", server.data)
    with running_server(tmp_path) as server:
        server.passphrases["leaver"] = "leaverPassphrase"
        assert server.ready_state == "Locked"
        assert NOT_OPENED in server.log()
        assert server.request("GET", "/users/leaver", user="leaver").status == 412


@pytest.mark.parametrize("status", ["on", "off"])
def test_what_was_acknowledged_survives_sigkill_of_everything(tmp_path: Path, status: str) -> None:
    with running_server(tmp_path) as server:
        server.provision()
        for wanted in ("on", status):
            turn(server, wanted)
        server.kill()
    with running_server(tmp_path) as server:
        assert server.ready_state == ("Operational" if status == "on" else "Locked")
        assert NOT_OPENED not in server.log()


def test_a_key_without_a_slot_is_destroyed_at_the_next_start(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.provision()
        server.kill()
    (server.data / "unattended.key").write_bytes(os.urandom(32))
    with running_server(tmp_path) as server:
        assert server.ready_state == "Locked"
        assert (server.data / "unattended.key").read_bytes() == b""


@pytest.mark.parametrize("role", ["core", "platform"])
def test_after_a_process_was_killed_it_comes_back_as_it_was_turned_last(
    tmp_path: Path, role: str
) -> None:
    with running_server(tmp_path) as server:
        server.provision()
        for wanted in ("on", "off", "on"):
            turn(server, wanted)
        os.kill(server.child(role), signal.SIGKILL)
        server.wait_ready(times=2)
        assert server.ready_state == "Operational"
        turn(server, "off")
        os.kill(server.child(role), signal.SIGKILL)
        server.wait_ready(times=3)
        assert server.ready_state == "Locked"
        assert (server.data / "unattended.key").read_bytes() == b""
