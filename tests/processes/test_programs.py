"""What a program of others, as etcd, can still do in its sandbox: Python takes its place here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.processes.sandbox import landlock

HERE = Path(sys.executable).resolve()
"""The interpreter outside of the virtual environment."""
LIBRARIES = ["/lib", "/lib64", "/usr/lib", f"{sys.base_prefix}/lib"]

BECOMING = """
import os, sys
from pathlib import Path
from keystead.processes.sandbox import AllowedAccess, Sandbox
here, program, code, libraries = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
sandbox = Sandbox("etcd")
sandbox.isolate(parent=os.getppid(), keep=[])
os.chdir(here)
sandbox.become(
    program, ["-I", "-S", "-c", code], environment={"SEEN": "yes"}, user=None,
    allowed=AllowedAccess(
        directories=(Path(),), any_tcp=True, programs=(program, *map(Path, libraries))
    ),
    memory_bytes=2**30,
)
"""

TRYING = """
import ctypes, json, os, resource, signal, socket
def tried(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0
libc = ctypes.CDLL(None, use_errno=True)
def ptrace():
    if libc.ptrace(0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "")
def unshare():
    if libc.unshare(0x20000):
        raise OSError(ctypes.get_errno(), "")
def make_socket():
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("made.sock")
def listen():
    socket.create_server(("127.0.0.1", 0)).close()
def keep():
    os.mkdir("kept")
    with open("kept/file", "w") as file:
        file.write("x")
    os.rename("kept/file", "kept/other")
    os.unlink("kept/other")
    os.rmdir("kept")
print(json.dumps({
    "own files": tried(keep), "own socket": tried(make_socket), "listen": tried(listen),
    "others' files": tried(lambda: open("../secret")), "list": tried(lambda: os.listdir("..")),
    "program": tried(lambda: os.execv("/bin/true", ["true"])),
    "trace": tried(ptrace), "namespace": tried(unshare),
    "environment": dict(os.environ), "memory": resource.getrlimit(resource.RLIMIT_DATA)[0],
    "terminates": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
    "leads": os.getsid(0) == os.getpid(),
}))
"""

EPERM, EACCES = 1, 13


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What Python in its sandbox says of itself."""
    here = tmp_path_factory.mktemp("outside") / "here"
    here.mkdir()
    (here.parent / "secret").write_text("secret")
    said = subprocess.run(  # noqa: S603
        [sys.executable, "-c", BECOMING, here, HERE, TRYING, *LIBRARIES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def test_it_has_its_own_directory_and_the_network(found):
    assert (found["own files"], found["own socket"], found["listen"]) == (0, 0, 0)


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_it_reaches_no_other_file_and_becomes_no_other_program(found):
    assert found["others' files"] == found["list"] == found["program"] == EACCES


def test_it_traces_nobody_and_makes_no_namespace(found):
    assert found["trace"] == found["namespace"] == EPERM


def test_it_is_bounded_and_can_be_stopped(found):
    assert found["environment"].keys() <= {"SEEN", "LC_CTYPE"}  # Python sets the latter itself.
    assert found["memory"] == 2**30
    assert found["terminates"]
    assert found["leads"]
