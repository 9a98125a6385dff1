"""Everything that a process must not do, tried for real from inside of it.

`tests/support/attack_program` confines itself as the product does, then attacks.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from keystead.processes.sandbox import landlock

PROGRAM = Path(__file__).parents[1] / "support" / "attack_program.py"

ROLES = ("core", "edge", "platform")

FILES = {
    "open_to_read",
    "read_passwords",
    "read_the_supervisors_environment",
    "read_its_own_memory_as_a_file",
}

# What does not kill the process: how it is refused, or that it is what the process is for.
NOT_KILLED = {
    "core": {
        "EPERM": {
            *FILES,
            "open_to_write",
            "read_the_device_key",
            "list_a_directory",
            "list_the_data_directory",
            "look_at_a_file",
            "change_the_limits_of_the_supervisor",
            "create_a_file_that_runs_as_its_owner",
        },
    },
    "edge": {
        "EACCES": {*FILES, "read_the_device_key"},
        "EPERM": {
            "open_to_write",
            "list_a_directory",
            "list_the_data_directory",
            "look_at_a_file",
            "change_the_limits_of_the_supervisor",
            "create_a_file_that_runs_as_its_owner",
        },
        "allowed": {"accept"},
    },
    "platform": {
        "EACCES": {
            *FILES,
            "open_to_write",
            "list_a_directory",
            "remove_a_file",
            "rename_out_of_the_data_directory",
            "tcp_socket",
            "tcp_socket_of_ipv6",
            "unix_socket",
            "netlink_socket",
            "packet_socket",
            "raw_socket",
        },
        "EPERM": {"map_executable_memory", "change_the_limits_of_the_supervisor"},
        "allowed": {
            "read_the_device_key",
            "list_the_data_directory",
            "look_at_a_file",
            "udp_socket",
            "udp_socket_of_ipv6",
            "have_a_socket_linger",  # It cannot pass it on.
        },
    },
}
EVERYWHERE = {"OSError": {"load_a_library"}}


def expected(role: str, attack: str) -> set[str]:
    if attack == "connect" and role == "platform":
        # It has no TCP socket in the product. Landlock knows TCP from version 4 on.
        return {"EACCES"} if landlock.version() >= 4 else {"EACCES", "allowed"}
    if attack == "import_another_module":
        # Not found where directories cannot be listed; found but not read where they were before.
        return {"ModuleNotFoundError", "EACCES"}
    if attack == "system_call_of_32_bits":
        return {"SIGSYS", "SIGSEGV"}  # The second from a kernel that has none.
    for outcome, attacks in (NOT_KILLED[role] | EVERYWHERE).items():
        if attack in attacks:
            return {outcome}
    return {"SIGSYS"}


def attacked(role: str, directory: Path) -> dict[str, str]:
    """What became of each attack on this process."""
    data, outside = directory / "data", directory / "outside"
    data.mkdir()
    outside.mkdir()
    outside.chmod(0o777)  # Nothing but the sandbox protects what is in there.
    for file in (data / "device.key", outside / "file"):
        file.write_bytes(bytes(32))
        file.chmod(0o666)
    command = [sys.executable, "-I", str(PROGRAM), role, str(data), str(outside)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)  # noqa: S603
    assert [entry.name for entry in outside.iterdir()] == ["file"]
    assert [entry.name for entry in data.iterdir()] == ["device.key"]
    return json.loads(ended.stdout)


@pytest.mark.skipif(not landlock.version(), reason="needs a kernel with Landlock")
@pytest.mark.parametrize("role", ROLES)
def test_a_process_that_was_taken_over_can_do_nothing_but_its_work(role):
    directory = Path(tempfile.mkdtemp(prefix="keystead-attacks-"))
    directory.chmod(0o755)  # So that the platform gets a user of its own.
    try:
        outcomes = attacked(role, directory)
    finally:
        shutil.rmtree(directory)
    assert len(outcomes) > 70
    succeeded = {
        attack: outcome
        for attack, outcome in outcomes.items()
        if outcome not in expected(role, attack)
    }
    assert not succeeded
