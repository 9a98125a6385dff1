"""Thousands of keys through all processes: in bounded memory, and whole in spite of kills."""

import contextlib
import http.client
import os
import secrets
import threading
import time
from pathlib import Path

import pytest

from keystead.storage.backends.remote import MOST_SNAPSHOTS
from tests.support.large_backup import (
    UNLOCK,
    USERS,
    memory,
    restore,
    write_backup,
)
from tests.support.server import Server, basic, running_server, wait_until

KEYS = 20_000
KEYS_TO_KILL = 3_000
ROUNDS = int(os.environ.get("KEYSTEAD_CRASH_ROUNDS", "4"))
ROOM = 64 * 2**20
"""Memory that a process may take over what it has when idle."""


def unlock(server: Server) -> None:
    answer = server.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert answer.status == 204, answer
    server.passphrases |= {name: passphrase for name, (passphrase, _) in USERS.items()}


def download(server: Server) -> tuple[int, bytes]:
    """Make a backup; return its length and its last bytes."""
    length, last = 0, b""
    with contextlib.closing(server.connect(timeout_seconds=60)) as connection:
        authorization = basic("backup", server.passphrases["backup"])
        connection.request(
            "POST", "/api/v1/system/backup", headers={"Authorization": authorization}
        )
        answer = connection.getresponse()
        assert answer.status == 200
        while part := answer.read(2**20):
            length += len(part)
            last = (last + part)[-40:]
    return length, last


def test_twenty_thousand_keys_are_restored_and_backed_up_in_bounded_memory(tmp_path):
    file = tmp_path / "backup.bin"
    write_backup(file, keys=KEYS)
    with running_server(tmp_path) as server:
        idle = memory(server, "VmRSS")
        began = time.monotonic()
        assert restore(server, file) == (204, b"")
        unlock(server)
        assert len(server.request("GET", "/keys", user="admin").json()) == KEYS
        length, last = download(server)
        assert time.monotonic() - began < 60
        assert last.endswith(b"\0\0\0_NETHSM_BACKUP_END_")
        assert abs(length - file.stat().st_size) < 10_000
        most = memory(server, "VmHWM")
        grown = {role: (most[role] - idle[role]) >> 20 for role in idle}
        assert all(most[role] - idle[role] < ROOM for role in idle), grown


def begin_download(server: Server) -> http.client.HTTPConnection:
    """Read the beginning of a backup and no more."""
    connection = server.connect()
    authorization = basic("backup", server.passphrases["backup"])
    connection.request("POST", "/api/v1/system/backup", headers={"Authorization": authorization})
    connection.getresponse().read(1000)
    return connection


def test_a_client_that_stops_reading_its_backup_stops_it(tmp_path):
    file = tmp_path / "backup.bin"
    write_backup(file, keys=KEYS_TO_KILL * 2)
    with running_server(tmp_path) as server:
        assert restore(server, file)[0] == 204
        unlock(server)
        with contextlib.ExitStack() as stack:
            for _ in range(MOST_SNAPSHOTS):
                stack.enter_context(contextlib.closing(begin_download(server)))
            with pytest.raises(http.client.IncompleteRead):
                download(server)
            wait_until(lambda: "Too many backups" in server.log(), seconds=10)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(http.client.IncompleteRead):
                download(server)
                break
            assert time.monotonic() < deadline, "the backups go on without their clients"
            time.sleep(0.1)


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_everything_killed_in_the_middle_of_a_restore_leaves_nothing_or_all(
    tmp_path: Path, round_number: int
) -> None:
    del round_number
    file = tmp_path / "backup.bin"
    write_backup(file, keys=KEYS_TO_KILL)
    answers: list[object] = []
    with running_server(tmp_path) as server:

        def send() -> None:
            with contextlib.suppress(OSError):
                answers.append(restore(server, file, timeout_seconds=20)[0])

        client = threading.Thread(target=send)
        client.start()
        threading.Event().wait(secrets.SystemRandom().uniform(0.2, 1.2))
        server.kill_all()
        client.join(timeout=20)
    with running_server(tmp_path) as server:
        if server.ready_state == "Unprovisioned":
            assert answers != [204]
            assert restore(server, file)[0] == 204
        assert server.state() == "Locked"
        unlock(server)
        assert len(server.request("GET", "/keys", user="admin").json()) == KEYS_TO_KILL
