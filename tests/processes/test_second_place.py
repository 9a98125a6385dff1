"""A real server with a second place: an older database is not opened unasked."""

from pathlib import Path

from keystead.__main__ import main
from tests.support.server import UNLOCK, Server, copy_database, running_server
from tests.support.tpm import Swtpm, as_device, swtpm

__all__ = ["swtpm"]


def unlock_by_command(server: Server, monkeypatch, *options: str) -> int:
    monkeypatch.setenv("KEYSTEAD_UNLOCK_PASSPHRASE", UNLOCK)
    return main(["unlock", "--host", f"{server.host}:{server.port}", "--insecure", *options])


def test_an_older_database_is_opened_only_when_someone_says_so(tmp_path: Path, monkeypatch) -> None:
    place = tmp_path / "another disk"
    place.mkdir()
    given = {"directory": tmp_path, "config": '[journal]\nhead_file = "another disk/head"'}
    with running_server(**given) as server:
        server.provision()
        server.add_user("leaver", "Operator")
        server.stop()
    copy_database(server.data, tmp_path / "old")
    first = (place / "head").read_bytes()
    with running_server(**given) as server:
        server.unlock()
        assert server.request("DELETE", "/users/leaver", user="admin").status == 204
        server.stop()
    assert (place / "head").read_bytes() != first
    copy_database(tmp_path / "old", server.data)
    with running_server(**given) as server:
        answer = server.request("POST", "/unlock", json={"passphrase": UNLOCK})
        assert answer.status == 409
        assert unlock_by_command(server, monkeypatch) != 0
        assert server.state() == "Locked"
        assert "the store is older than the journal's head elsewhere" in server.log()
        code = answer.json()["acknowledgeRollback"]
        assert unlock_by_command(server, monkeypatch, "--acknowledge-rollback", "0" * 16) != 0
        assert unlock_by_command(server, monkeypatch, "--acknowledge-rollback", code) == 0
        assert server.state() == "Operational"


def test_the_counter_of_a_tpm_tells_the_present_database_from_an_older_one(
    tmp_path: Path, swtpm: Swtpm
) -> None:
    with as_device(swtpm) as device:
        given = {"directory": tmp_path, "config": f'[journal]\ntpm_counter = "{device}"'}
        with running_server(**given) as server:
            server.provision()
            server.stop()
        copy_database(server.data, tmp_path / "old")
        with running_server(**given) as server:
            server.unlock()
            server.stop()
        copy_database(tmp_path / "old", server.data)
        with running_server(**given) as server:
            answer = server.request("POST", "/unlock", json={"passphrase": UNLOCK})
            assert answer.status == 409
            assert "the counter is" in answer.json()["message"]
            code = answer.json()["acknowledgeRollback"]
            acknowledged = {"passphrase": UNLOCK, "acknowledgeRollback": code}
            assert server.request("POST", "/unlock", json=acknowledged).status == 204
