"""A real disk that becomes full: a small tmpfs, which only root can mount."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, running_server

SIGN = {"mode": "ECDSA", "message": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
KEY = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0755", "tmpfs", str(mount)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)  # noqa: S603, S607 - as above


def fill(disk: Path) -> None:
    with (disk / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))


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
