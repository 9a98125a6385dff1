"""What process 1 of the appliance and the server say to each other about updates."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from keystead.errors import StartRefused
from keystead.model.boot_slots import BootSlot
from keystead.platform.update_slot import UpdateSlot
from keystead.processes.machine import boot, trial
from keystead.processes.machine.firmware import Partition
from keystead.processes.supervisor.notify import RESTART_STATUS
from tests.support.server import start_server
from tests.support.update_images import key_pair, signed

CONFIG = '[update]\npublic_key = "update.pem"\n'
IMAGE = signed(os.urandom(100_000))
OF_THE_APPLIANCE = ("--restarts-machine", "--has-installer")
PATIENCE_SECONDS = 180


def test_a_server_passes_the_trial_and_ends_for_a_restart_when_an_update_is_committed(
    tmp_path: Path,
) -> None:
    (tmp_path / "update.pem").write_bytes(key_pair(0)[1])
    server = start_server(tmp_path, config=CONFIG, options=OF_THE_APPLIANCE)
    try:
        server.wait_ready()
        server.provision()
        assert asyncio.run(trial.answers(server.host, server.port))
        assert server.request("POST", "/system/commit-update", user="admin").status == 412
        assert server.request("POST", "/system/update", user="admin", body=IMAGE).status == 200
        assert server.request("POST", "/system/commit-update", user="admin").status == 204
        assert server.process.wait(PATIENCE_SECONDS) == RESTART_STATUS
    finally:
        server.process.kill()
        server.process.wait()
    slot = UpdateSlot(server.data / "update")
    staged = slot.take_committed()
    assert staged is not None
    assert staged.read_bytes() == IMAGE
    assert slot.take_committed() is None


def test_a_server_that_is_gone_or_says_nothing_does_not_pass_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial, "_ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not asyncio.run(trial.answers("127.0.0.1", port))
    assert not asyncio.run(trial.answers("127.0.0.1", port))


def test_a_server_that_needs_time_passes_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PAUSE_SECONDS", 0.0)
    answers = [False, False, True]

    async def is_healthy() -> bool:
        return answers.pop(0)

    assert asyncio.run(trial.becomes_healthy(is_healthy))
    assert answers == []


def test_a_server_that_is_never_healthy_does_not_pass_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial, "_PAUSE_SECONDS", 0.0)

    async def is_healthy() -> bool:
        return False

    assert not asyncio.run(trial.becomes_healthy(is_healthy, limit_seconds=0.05))


def add_device(folder: Path, name: str, called: str, **facts: int) -> None:
    (folder / name).mkdir()
    (folder / name / "uevent").write_text(f"DEVTYPE=partition\nPARTNAME={called}\n")
    for fact, value in facts.items():
        (folder / name / fact).write_text(f"{value}\n")


def test_a_slot_is_found_by_the_name_of_its_partition(tmp_path: Path) -> None:
    add_device(tmp_path, "vda1", "keystead-boot-a", partition=1, start=2048, size=262144)
    add_device(tmp_path, "vda2", "keystead-boot-b", partition=2, start=264192, size=262144)

    found = boot.slot_partition(BootSlot.B, tmp_path)

    identifier = BootSlot.B.partition_id
    assert found == Partition(Path("/dev/vda2"), 2, 264192, 262144, identifier)


@pytest.mark.parametrize("count", [0, 2])
def test_a_slot_that_is_there_twice_or_never_is_not_used(tmp_path: Path, count: int) -> None:
    for number in range(count):
        add_device(tmp_path, f"sda{number}", "keystead-boot-a")

    with pytest.raises(StartRefused, match=f"{count} partitions are called keystead-boot-a"):
        boot.slot_partition(BootSlot.A, tmp_path)
