"""A real disk that becomes full."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.operations.use_counters import FLUSH_SECONDS
from tests.support.server import UNLOCK, Server, running_server, wait_until
from tests.support.small_disk import fill, small_disk

SIGN = {"mode": "ECDSA", "message": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
KEY = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, mebibytes=48) as mount:
        yield mount


def status(server: Server, method: str, path: str, user: str, **body: object) -> int:
    return server.request(method, path, user=user, **body).status


def test_signatures_go_on_and_changes_are_refused_until_there_is_room(disk: Path) -> None:
    with running_server(disk) as server:
        server.provision()
        operator = server.add_user("op", "Operator")
        wanted = KEY | {"id": "k"}
        assert status(server, "POST", "/keys/generate", "admin", json=wanted) == 201
        fill(disk)
        for _ in range(3):
            assert status(server, "POST", "/keys/k/sign", operator, json=SIGN) == 200
            assert status(server, "POST", "/random", operator, json={"length": 4}) == 200
            refused = server.request("POST", "/keys/generate", user="admin", json=KEY)
            assert refused.status == 503
            assert "disk is full" in refused.json()["message"]
            assert server.state() == "Operational"
        (disk / "fill").unlink()
        assert status(server, "POST", "/keys/generate", "admin", json=KEY) == 201
        assert server.stop() == 0


REVOCATIONS: dict[str, object] = {
    "DELETE /keys/k/restrictions/tags/t": None,
    "DELETE /users/op/tags/t": None,
    "POST /users/op/passphrase": {"passphrase": "another passphrase"},
    "PUT /config/unlock-passphrase": {
        "newPassphrase": "another to unlock",
        "currentPassphrase": UNLOCK,
    },
    "PUT /config/unattended-boot": {"status": "off"},
    "DELETE /keys/k": None,
    "DELETE /users/op": None,
    "DELETE /namespaces/ns": None,
}


def test_what_revokes_goes_on_and_the_alarm_stays_until_there_is_room(disk: Path) -> None:
    on = {"status": "on"}
    with running_server(disk) as server:
        server.provision()
        server.add_user("op", "Operator")
        wanted = KEY | {"id": "k", "restrictions": {"tags": ["t"]}}
        assert status(server, "POST", "/keys/generate", "admin", json=wanted) == 201
        assert status(server, "PUT", "/users/op/tags/t", "admin") == 204
        assert status(server, "PUT", "/config/unattended-boot", "admin", json=on) == 204
        assert status(server, "PUT", "/namespaces/ns", "admin") == 204
        fill(disk)
        for row, body in REVOCATIONS.items():
            assert status(server, "POST", "/keys/generate", "admin", json=KEY) == 503
            method, _, path = row.partition(" ")
            fill(disk)
            assert (row, status(server, method, path, "admin", json=body)) == (row, 204)
        time.sleep(FLUSH_SECONDS + 2)
        assert server.log().count("the store cannot write") == 1
        assert "the store can write again" not in server.log()
        (disk / "fill").unlink()
        wait_until(lambda: "the store can write again" in server.log(), seconds=30)
        assert server.stop() == 0


def test_a_server_starts_and_signs_on_a_full_disk(disk: Path) -> None:
    with running_server(disk) as server:
        server.provision()
        operator = server.add_user("op", "Operator")
        passphrase = server.passphrases[operator]
        wanted = KEY | {"id": "k"}
        assert status(server, "POST", "/keys/generate", "admin", json=wanted) == 201
        assert server.stop() == 0
    fill(disk)
    logs = disk.parent
    for _ in range(2):
        with running_server(logs, data=server.data) as again:
            again.passphrases[operator] = passphrase
            again.unlock()
            assert status(again, "POST", "/keys/k/sign", operator, json=SIGN) == 200
            assert again.stop() == 0
        fill(disk)
