"""Tries what a process that was taken over would try, after the product's own lock-down.

    python -I attack_program.py ROLE DATA OUTSIDE

Each attack runs in a process of its own, confined as that role is. Prints a JSON object: for each
attack the name of the signal that killed the process, the name of the error, or `allowed`.
"""

import contextlib
import ctypes
import errno
import importlib
import json
import mmap
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from keystead.processes import sandbox
from keystead.processes.supervisor import ownership

ROLE, DATA, OUTSIDE = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
USER = ownership.hand_over(DATA) if ROLE == "platform" else sandbox.own_user(ROLE)
X86 = platform.machine() == "x86_64"
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
BUFFER = ctypes.create_string_buffer(4096)

ATTACKS: dict[str, Callable[[], object]] = {}


def attack(tried: Callable[[], object]) -> Callable[[], object]:
    ATTACKS[tried.__name__] = tried
    return tried


def call(x86: int, aarch64: int, *arguments: int | bytes) -> int:
    """Make a system call by its number on this architecture."""
    given = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result = LIBC.syscall(ctypes.c_long(x86 if X86 else aarch64), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


# Made before the lock, as an attacker would find them in the process.
MACHINE_CODE = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
MACHINE_CODE.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
GET_PID_32 = ctypes.CFUNCTYPE(ctypes.c_int)(
    ctypes.addressof(ctypes.c_char.from_buffer(MACHINE_CODE))
)
PROGRAM = os.memfd_create("program")
os.write(PROGRAM, b"#!/bin/sh\n")
LISTENER = socket.create_server(("127.0.0.1", 0))
LISTENER_ADDRESS = LISTENER.getsockname()
PAIR = socket.socketpair()
TCP_SOCKET = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
SUPERVISOR = os.getpid()

# --- files -------------------------------------------------------------------------------------


@attack
def open_to_read():
    (OUTSIDE / "file").read_bytes()


@attack
def open_to_write():
    (OUTSIDE / "file").open("r+b").close()


@attack
def create():
    (OUTSIDE / "new").touch()


@attack
def read_passwords():
    Path("/etc/passwd").read_bytes()


@attack
def read_the_device_key():
    (DATA / "device.key").read_bytes()


@attack
def list_a_directory():
    list(OUTSIDE.iterdir())


@attack
def list_the_data_directory():
    list(DATA.iterdir())


@attack
def look_at_a_file():
    (DATA / "device.key").stat()


@attack
def remove_a_file():
    (OUTSIDE / "file").unlink()


@attack
def rename_out_of_the_data_directory():
    (DATA / "device.key").rename(OUTSIDE / "device.key")


@attack
def link_a_file_into_the_data_directory():
    os.link(OUTSIDE / "file", DATA / "linked")


@attack
def link_by_name():
    (DATA / "name").symlink_to(OUTSIDE / "file")


@attack
def make_a_device():
    os.mknod(DATA / "device", 0o600 | 0o020000, os.makedev(1, 1))


@attack
def change_a_mode():
    (OUTSIDE / "file").chmod(0o777)


@attack
def make_a_file_run_as_its_owner():
    call(91, 52, LISTENER.fileno(), 0o4755)


@attack
def create_a_file_that_runs_as_its_owner():
    os.close(os.open(DATA / "new", os.O_WRONLY | os.O_CREAT, 0o4755))


@attack
def change_an_owner():
    os.chown(OUTSIDE / "file", 0, 0)


@attack
def change_root():
    os.chroot(OUTSIDE)


@attack
def change_directory():
    os.chdir(OUTSIDE)


@attack
def read_the_supervisors_environment():
    Path(f"/proc/{SUPERVISOR}/environ").read_bytes()


@attack
def read_its_own_memory_as_a_file():
    Path("/proc/self/mem").open("rb").close()


@attack
def open_by_handle():
    call(304, 265, -100, ctypes.addressof(BUFFER), 0)


@attack
def import_another_module():
    importlib.import_module("tabnanny")


@attack
def load_a_library():
    ctypes.CDLL("libcrypt.so.1")


# --- network -----------------------------------------------------------------------------------


@attack
def tcp_socket():
    socket.socket(socket.AF_INET, socket.SOCK_STREAM)


@attack
def udp_socket():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@attack
def udp_socket_of_ipv6():
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)


@attack
def tcp_socket_of_ipv6():
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM)


@attack
def unix_socket():
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


@attack
def netlink_socket():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


@attack
def packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


@attack
def raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attack
def pair_of_sockets():
    socket.socketpair()


@attack
def connect():
    TCP_SOCKET.connect(LISTENER_ADDRESS)


@attack
def bind():
    TCP_SOCKET.bind(("127.0.0.1", 0))


@attack
def listen():
    TCP_SOCKET.listen()


@attack
def accept():
    LISTENER.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        LISTENER.accept()


@attack
def shut_the_listener_down():
    LISTENER.shutdown(socket.SHUT_RD)


@attack
def pass_a_descriptor_on():
    socket.send_fds(PAIR[0], [b"x"], [LISTENER.fileno()])


@attack
def have_a_socket_linger():
    TCP_SOCKET.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))


@attack
def attach_a_socket_filter():
    TCP_SOCKET.setsockopt(socket.IPPROTO_UDP, 1, 1)


# --- programs and processes --------------------------------------------------------------------


@attack
def fork():
    if os.fork() == 0:
        os._exit(0)


@attack
def fork_by_vfork():
    subprocess.run(["/bin/true"], check=False)


@attack
def new_process_by_clone():
    call(56, 220, signal.SIGCHLD, 0, 0, 0, 0)


@attack
def new_process_by_clone3():
    call(435, 435, ctypes.addressof(BUFFER), 64)


@attack
def new_thread():
    threading.Thread(target=int).start()


@attack
def execute():
    os.execv("/bin/true", ["true"])  # noqa: S606


@attack
def execute_from_memory():
    call(322, 281, PROGRAM, b"", 0, 0, 0x1000)


@attack
def make_a_file_in_memory():
    os.memfd_create("another")


@attack
def trace_the_supervisor():
    call(101, 117, 16, SUPERVISOR, 0, 0)


@attack
def be_traced():
    call(101, 117, 0, 0, 0, 0)


@attack
def read_memory_of_the_supervisor():
    call(310, 270, SUPERVISOR, ctypes.addressof(BUFFER), 1, ctypes.addressof(BUFFER), 1, 0)


@attack
def write_memory_of_the_supervisor():
    call(311, 271, SUPERVISOR, ctypes.addressof(BUFFER), 1, ctypes.addressof(BUFFER), 1, 0)


@attack
def take_a_descriptor_of_the_supervisor():
    call(438, 438, 0, 0, 0)


@attack
def compare_with_the_supervisor():
    call(312, 272, os.getpid(), SUPERVISOR, 0, 0, 0)


@attack
def kill_the_supervisor():
    os.kill(SUPERVISOR, 0)


@attack
def signal_a_thread_of_the_supervisor():
    call(234, 131, SUPERVISOR, SUPERVISOR, 0)


@attack
def change_the_limits_of_the_supervisor():
    call(302, 261, SUPERVISOR, 7, 0, ctypes.addressof(BUFFER))


# --- memory ------------------------------------------------------------------------------------


@attack
def map_executable_memory():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)


@attack
def make_memory_executable():
    page = mmap.mmap(-1, 4096)
    call(10, 226, ctypes.addressof(ctypes.c_char.from_buffer(page)), 4096, 5)


@attack
def make_memory_executable_by_key():
    call(329, 288, 0, 4096, 5, 0)


@attack
def share_memory():
    call(29, 194, 0, 4096, 0o1600)


@attack
def unlock_memory():
    call(152, 231)


@attack
def handle_page_faults():
    call(323, 282, 0)


# --- the kernel --------------------------------------------------------------------------------


@attack
def io_uring():
    call(425, 425, 8, ctypes.addressof(BUFFER))


@attack
def bpf():
    call(321, 280, 0, ctypes.addressof(BUFFER), 64)


@attack
def performance_counters():
    call(298, 241, ctypes.addressof(BUFFER), 0, -1, -1, 0)


@attack
def key_ring():
    call(250, 219, 0, -3, 0)


@attack
def new_namespace():
    call(272, 97, 0x10000000)


@attack
def join_a_namespace():
    call(308, 268, 0, 0)


@attack
def mount():
    call(165, 40, b"none", b"/mnt", b"tmpfs", 0, 0)


@attack
def mount_the_new_way():
    call(430, 430, b"tmpfs", 0)


@attack
def become_root():
    os.setuid(0)


@attack
def take_capabilities():
    call(126, 91, ctypes.addressof(BUFFER), ctypes.addressof(BUFFER))


@attack
def be_dumpable_again():
    call(157, 167, 4, 1, 0, 0, 0)


@attack
def outlive_the_supervisor():
    call(157, 167, 1, 0, 0, 0, 0)


@attack
def loosen_the_filter():
    call(317, 277, 1, 0, ctypes.addressof(BUFFER))


@attack
def change_personality():
    call(135, 92, 0x0400000)


@attack
def set_the_clock():
    call(227, 112, 0, ctypes.addressof(BUFFER))


@attack
def load_a_kernel_module():
    call(313, 273, 0, b"", 0)


@attack
def reboot():
    call(169, 142, 0, 0, 0, 0)


if X86:

    @attack
    def x32_system_call():
        call(0x40000000 | 39, 0)

    @attack
    def system_call_of_32_bits():
        GET_PID_32()

    @attack
    def create_by_its_own_call():
        call(85, 0, bytes(OUTSIDE / "new"), 0o600)


def tried(attempt: Callable[[], object], report: int) -> None:
    """Be confined as the product is, then try."""
    devices = os.open("/dev/null", os.O_RDWR)
    os.dup2(devices, 2)
    confinement = sandbox.Sandbox(ROLE)
    keep = [report, PROGRAM, LISTENER.fileno(), TCP_SOCKET.fileno()]
    confinement.isolate(parent=SUPERVISOR, keep=keep)
    allowed = sandbox.AllowedAccess(read_write=(DATA,)) if ROLE == "platform" else sandbox.NOTHING
    confinement.confine(allowed, user=USER)
    confinement.lock_down()
    try:
        attempt()
    except (OSError, ImportError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        outcome = errno.errorcode[number] if number else type(error).__name__
    else:
        outcome = "allowed"
    os.write(report, outcome.encode())
    os._exit(0)


def outcome_of(attempt: Callable[[], object]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            tried(attempt, writing)
        finally:
            os._exit(70)
    os.close(writing)
    with open(reading, "rb") as report:  # noqa: PTH123 - a descriptor
        said = report.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return said or f"exit {os.WEXITSTATUS(status)}"


if __name__ == "__main__":
    importlib.import_module(f"keystead.processes.{ROLE}")
    json.dump({name: outcome_of(attempt) for name, attempt in ATTACKS.items()}, sys.stdout)
