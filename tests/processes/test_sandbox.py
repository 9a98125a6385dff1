"""What the processes cannot do, read from the kernel while they run."""

import re
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
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


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
    opened = open_files(core)
    assert {name.partition(":")[0] for name in opened} <= {"pipe", "socket", "anon_inode"}
    # Those it got are in the network of the supervisor, those it made in its own.
    tables = [Path("/proc/net/unix"), Path(f"/proc/{core}/net/unix")]
    lines = [line for table in tables for line in table.read_text().splitlines()[1:]]
    sockets = {name[8:-1] for name in opened if name.startswith("socket:")}
    assert sockets
    assert sockets <= {line.split()[6] for line in lines}


def test_the_edge_has_no_file_but_the_empty_one_for_its_tls_key(server):
    edge = server.child("edge")
    named = [name for name in open_files(edge) if name.startswith("/")]
    assert named == ["/memfd:tls (deleted)"]
    sizes = [
        entry.stat().st_size
        for entry in Path(f"/proc/{edge}/fd").iterdir()
        if "memfd" in str(entry.readlink())
    ]
    assert sizes == [0]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_children_leave_signals_to_the_supervisor(server, name):
    number = signal.Signals[name]
    for pid in server.children():
        ignored = int(status(pid)["SigIgn"], 16)
        assert ignored >> (number - 1) & 1


def test_a_child_without_its_parent_does_not_start():
    program = (
        "from keystead.processes.sandbox import Sandbox\n"
        "Sandbox('core').isolate(parent=1 << 22, keep=[])\n"
        "print('started')"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")


def test_files_that_were_not_meant_for_it_are_closed():
    program = (
        "import os\n"
        "from keystead.processes.sandbox import Sandbox\n"
        "kept, other = os.pipe()\n"
        "Sandbox('core').isolate(parent=os.getppid(), keep=[kept])\n"
        "os.fstat(kept)\n"
        "try: os.fstat(other)\n"
        "except OSError: print('closed')"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "closed\n"
