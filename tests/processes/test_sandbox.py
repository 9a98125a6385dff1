"""What the processes cannot do, read from the kernel while they run."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from keystead.processes.sandbox import USERS
from keystead.processes.supervisor.ownership import hand_over
from tests.support.server import running_server, start_server, wait_until

ROLES = ["core", "edge", "platform"]
MECHANISM = {"RSA": "RSA_Signature_PKCS1", "EC_P256": "ECDSA_Signature"}
ONLY_LOCK_MEMORY = 1 << 14  # CAP_IPC_LOCK
INSPECTING = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can look into a process that is not dumpable"
)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give each process a user")

WITHOUT_SECCOMP = """
import errno, os, sys
from keystead.processes.sandbox import (bpf, kernel)
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
refused = bpf.Rule(bpf.fail(getattr(errno, sys.argv[1])))
bpf.install(bpf.assemble({"seccomp": refused}, default=bpf.ALLOW))
os.execv(sys.argv[2], sys.argv[2:])
"""


def without_seccomp(error: str) -> list[str]:
    """What runs a command where every seccomp(2) fails with `error`."""
    return [sys.executable, "-c", WITHOUT_SECCOMP, error]


@pytest.fixture
def public_directory():
    """A directory that every user may pass through, as pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="keystead-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def open_files(pid: int) -> list[str]:
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def test_the_core_can_write_no_file(server):
    limits = Path(f"/proc/{server.child('core')}/limits").read_text()
    assert re.search(r"^Max file size +0 +0 ", limits, re.MULTILINE)


@pytest.mark.parametrize("role", ROLES)
def test_no_process_can_gain_privileges_or_leave_a_core_file(server, role):
    pid = server.child(role)
    assert status(pid)["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def test_every_thread_is_filtered_and_without_rights_while_it_works(provisioned_server):
    server = provisioned_server
    server.add_user("operator", "Operator")
    for key_type in ("RSA", "EC_P256"):
        body = {"type": key_type, "length": 2048, "mechanisms": [f"{MECHANISM[key_type]}"]}
        assert server.request("POST", "/keys/generate", user="admin", json=body).status == 201
    for pid, role in server.children().items():
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        assert len(threads) > 2 or role != "core"
        for thread in threads:
            seen = status(int(thread.name))
            assert seen["Seccomp"] == "2"
            assert seen["NoNewPrivs"] == "1"
            for capabilities in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                assert int(seen[capabilities], 16) & ~ONLY_LOCK_MEMORY == 0


@INSPECTING
@pytest.mark.parametrize("role", ROLES)
def test_no_memory_is_writable_and_executable(server, role):
    maps = Path(f"/proc/{server.child(role)}/maps").read_text().splitlines()
    assert not [line for line in maps if "wx" in line.split()[1]]


@AS_ROOT
def test_each_process_has_a_user_and_the_platform_its_files(public_directory):
    with running_server(public_directory) as server:
        server.provision()
        users = {role: status(pid)["Uid"].split() for pid, role in server.children().items()}
        assert users == {role: [str(USERS[role])] * 4 for role in ROLES}
        owners = {entry.stat().st_uid for entry in server.data.iterdir()}
        assert owners == {USERS["platform"]}
        assert server.data.stat().st_mode & 0o777 == 0o700
    with running_server(public_directory) as server:
        server.unlock()


@AS_ROOT
def test_a_file_that_root_put_back_is_given_to_the_platform(public_directory):
    with running_server(public_directory) as server:
        server.provision()
    key = server.data / "device.key"
    content = key.read_bytes()
    key.unlink()
    key.write_bytes(content)
    key.chmod(0o600)
    with running_server(public_directory) as server:
        server.unlock()


@AS_ROOT
def test_what_lies_elsewhere_too_is_not_given_to_the_platform(public_directory):
    (public_directory / "data").mkdir()
    (public_directory / "data" / "keystead.lock").touch()
    mine = public_directory / "mine"
    mine.touch()
    (public_directory / "data" / "hard").hardlink_to(mine)
    (public_directory / "data" / "soft").symlink_to(mine)
    assert hand_over(public_directory / "data") == USERS["platform"]
    assert mine.stat().st_uid == 0


@AS_ROOT
def test_behind_a_closed_directory_the_platform_stays_root_without_rights(public_directory):
    with running_server(public_directory) as server:
        server.provision()
    public_directory.chmod(0o700)
    with running_server(public_directory) as server:
        assert status(server.child("platform"))["Uid"].split()[0] == "0"
        server.unlock()
        assert {entry.stat().st_uid for entry in server.data.iterdir()} == {0}


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS", "EPERM"])
def test_without_seccomp_it_does_not_start_and_touches_nothing(tmp_path, error):
    server = start_server(tmp_path, wrapper=without_seccomp(error))
    assert server.wait() == 1
    assert server.log().startswith("keystead: Cannot confine the processes: ")
    assert server.log().count("\n") == 1
    assert not server.data.exists()


def test_without_seccomp_it_starts_when_that_is_asked_for(tmp_path):
    with running_server(
        tmp_path, wrapper=without_seccomp("EINVAL"), options=["--insecure-no-sandbox"]
    ) as server:
        server.provision()
        warnings = [line for line in server.log().splitlines() if '"warning"' in line]
        assert any("the sandbox is off" in line for line in warnings)


def test_a_system_call_that_is_not_allowed_is_said_in_the_log(server):
    edge = server.child("edge")
    os.kill(edge, signal.SIGSYS)
    wait_until(lambda: "a system call that its sandbox does not allow" in server.log(), seconds=10)


@INSPECTING
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


@INSPECTING
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


@INSPECTING
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


THREAD_AT_THE_END = """
import collections, functools, os, threading, time
from keystead.processes.sandbox import Sandbox
class AtTheEnd:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)
sandbox = Sandbox('platform')
sandbox.isolate(parent=os.getppid(), keep=[])
sandbox.confine()
naps = iter(functools.partial(time.sleep, 0.01), 1)
threading.Thread(target=collections.deque, args=[naps, 0], daemon=True).start()
last = AtTheEnd()
"""
"""While `last` goes, Python ends each thread that wakes up: the C library needs a file for it."""


def test_a_process_ends_in_order_while_a_thread_of_it_still_runs():
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", THREAD_AT_THE_END],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
