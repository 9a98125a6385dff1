"""What the processes cannot do, read from the kernel while they run."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROLES = ["core", "edge", "platform"]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def open_files(pid: int) -> list[str]:
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


@pytest.mark.parametrize("role", ROLES)
def test_no_process_can_gain_privileges_or_leave_a_core_file(server, role):
    pid = server.child(role)
    assert status(pid)["NoNewPrivs"] == "1"
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.parametrize("role", ROLES)
def test_every_process_has_its_own_interpreter_with_an_empty_environment(server, role):
    pid = server.child(role)
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[1:4] == [b"-I", b"-m", f"keystead.processes.{role}".encode()]
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_a_process_that_is_not_dumpable_belongs_to_root_in_proc(server):
    # The kernel gives /proc/<pid> of a process that may not be inspected to root.
    for role in ROLES:
        assert Path(f"/proc/{server.child(role)}/mem").stat().st_uid == 0


def test_the_core_has_no_file_and_no_network_socket(server):
    core = server.child("core")
    named = [name for name in open_files(core) if name.startswith("/")]
    assert set(named) <= {"/dev/null", str(server.log_file)}
    inodes = {name[8:-1] for name in open_files(core) if name.startswith("socket:")}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/{core}/net/{table}").read_text().splitlines()[1:]
        assert not inodes & {line.split()[9] for line in lines}


def test_the_edge_has_no_file_of_the_data_directory(server):
    named = [name for name in open_files(server.child("edge")) if name.startswith("/")]
    assert set(named) <= {"/dev/null", str(server.log_file)}


def test_the_tls_key_is_in_no_file(server):
    assert not [name for name in open_files(server.child("edge")) if "memfd" in name]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_children_leave_signals_to_the_supervisor(server, name):
    number = signal.Signals[name]
    for pid in server.children():
        ignored = int(status(pid)["SigIgn"], 16)
        assert ignored >> (number - 1) & 1


def test_a_child_without_its_parent_does_not_start():
    program = (
        "from keystead.processes.sandbox import isolate\n"
        "isolate(parent=1 << 22, keep=[])\n"
        "print('started')"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")


def test_files_that_were_not_meant_for_it_are_closed():
    program = (
        "import os\n"
        "from keystead.processes.sandbox import isolate\n"
        "kept, other = os.pipe()\n"
        "isolate(parent=os.getppid(), keep=[kept])\n"
        "os.fstat(kept)\n"
        "try: os.fstat(other)\n"
        "except OSError: print('closed')"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "closed\n"
