"""The table of system calls that each process may make once it runs.

A system call without a rule kills the process. EPERM is for calls that libraries can do without.
"""

import errno
import fcntl
import mmap
import os
import socket
import stat
import termios
from typing import Final

from keystead.processes.sandbox.bpf import KILL, Rule, Rules, Where, fail
from keystead.processes.sandbox.process_kind import AllowedAccess, ProcessKind

_REFUSED: Final = Rule(fail(errno.EPERM))
_UNKNOWN: Final = Rule(fail(errno.ENOSYS))

_PR_SET_NAME: Final = 15
_PR_SET_VMA: Final = 0x53564D41
_FIOCLEX: Final = 0x5451
_KERNEL_O_LARGEFILE: Final = 0x8000 | 0x20000
"""The kernel's flags on x86-64 and AArch64, where os.O_LARGEFILE is 0."""
_SOCKET_TYPE: Final = 0xF


def _allow(names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), Rule())


def _refuse(names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), _REFUSED)


def _only(argument: int, *values: int, mask: int = 0xFFFFFFFF, otherwise: int = KILL) -> Rule:
    return Rule(conditions=(Where(argument, values, mask),), otherwise=otherwise)


_FILE_NAMES: Final = (
    "open openat stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat"
)
"""Calls that tracebacks, late imports and the C library make to look for files."""

_COMMON: Final[Rules] = {
    # Memory; never executable.
    **_allow("brk munmap mremap madvise"),
    "mmap": _only(2, 0, mask=mmap.PROT_EXEC),
    "mprotect": _only(2, 0, mask=mmap.PROT_EXEC),
    # Threads that exist already, time, and the end of the process.
    **_allow("futex sched_yield sched_getaffinity getrandom getrusage sysinfo"),
    **_allow("clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time"),
    **_allow("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall"),
    **_allow("getpid getppid gettid getuid geteuid getgid getegid exit exit_group"),
    # Files and sockets that are open already.
    **_allow("read write readv writev pread64 pwrite64 lseek fstat close ftruncate"),
    **_allow("recvfrom sendto recvmsg getsockopt getsockname getpeername"),
    # No process may send descriptors: one that is slow to close would delay its receiver.
    # All edges share the listening socket. Shutting down its reading end would end it for all.
    "shutdown": _only(1, socket.SHUT_WR),
    **_allow("epoll_wait epoll_pwait epoll_pwait2 epoll_ctl poll ppoll select pselect6"),
    "fcntl": _only(
        1,
        fcntl.F_GETFD,
        fcntl.F_SETFD,
        fcntl.F_GETFL,
        fcntl.F_SETFL,
        otherwise=fail(errno.EPERM),
    ),
    "ioctl": _only(1, termios.FIONBIO, _FIOCLEX, otherwise=fail(errno.EPERM)),
    # Calls of the C library that may fail.
    **_refuse(_FILE_NAMES),
    **_refuse("openat2"),
    **_refuse("getcwd getdents64 uname prlimit64 getrlimit"),
    "prctl": Rule(fail(errno.EPERM), (Where(0, (_PR_SET_NAME, _PR_SET_VMA)),)),
}

_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
"""Mode bits that no file may get: a program with them would run outside of the sandbox."""
_READ_ONLY: Final = 0xFFFFFFFF & ~(os.O_CLOEXEC | _KERNEL_O_LARGEFILE)

_EDGE: Final[Rules] = {
    **_allow("accept accept4"),
    "setsockopt": Rule(
        conditions=(Where(1, (socket.IPPROTO_TCP,)), Where(2, (socket.TCP_NODELAY,)))
    ),
    # A TLS key can be loaded only by a path. Landlock allows no file with a path.
    "open": _only(1, 0, mask=_READ_ONLY, otherwise=fail(errno.EPERM)),
    "openat": _only(2, 0, mask=_READ_ONLY, otherwise=fail(errno.EPERM)),
}

_PLATFORM: Final[Rules] = {
    **_allow(_FILE_NAMES),
    **_allow("getcwd getdents64 uname statfs fstatfs"),
    "open": _only(2, 0, mask=_SET_ID),
    "openat": _only(3, 0, mask=_SET_ID),
    "fchmod": _only(1, 0, mask=_SET_ID),
    "mkdir": _only(1, 0, mask=_SET_ID),
    "mkdirat": _only(2, 0, mask=_SET_ID),
    **_allow("fsync fdatasync fallocate"),
    **_allow("unlink unlinkat rename renameat renameat2"),
    # POSIX locks are SQLite's.
    "fcntl": _only(
        1,
        fcntl.F_GETFD,
        fcntl.F_SETFD,
        fcntl.F_GETFL,
        fcntl.F_SETFL,
        fcntl.F_DUPFD_CLOEXEC,
        fcntl.F_GETLK,
        fcntl.F_SETLK,
        fcntl.F_SETLKW,
        otherwise=fail(errno.EPERM),
    ),
    **_refuse("fchown"),
    # Name services that are not loaded yet must fail.
    "mmap": _only(2, 0, mask=mmap.PROT_EXEC, otherwise=fail(errno.EPERM)),
    **_allow("connect"),
    "setsockopt": _only(1, socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP),
}

_PLATFORM_THAT_CALLS: Final[Rules] = {
    "ioctl": _only(1, termios.FIONBIO, _FIOCLEX, termios.FIONREAD, otherwise=fail(errno.EPERM)),
    **_allow("sendmmsg"),
    "setsockopt": _only(
        1, socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6
    ),
}


def _sockets_of_the_platform(allowed: AllowedAccess) -> Rule:
    """UDP for syslog, to any address; TCP if it may connect to a port; Unix sockets for etcd.

    A filter cannot allow streams to Unix sockets alone, but Landlock allows TCP to no other port.
    """
    families, kinds = [socket.AF_INET, socket.AF_INET6], [socket.SOCK_DGRAM]
    if allowed.unix_sockets:
        families.append(socket.AF_UNIX)
    if allowed.tcp_ports or allowed.unix_sockets:
        kinds.append(socket.SOCK_STREAM)
    return Rule(
        conditions=(Where(0, tuple(families)), Where(1, tuple(kinds), _SOCKET_TYPE)),
        otherwise=fail(errno.EACCES),
    )


EARLY: Final[Rules] = {"io_uring_setup": _UNKNOWN}
"""Rules from the beginning. With an io_uring, the event loop would bypass the filter. Without it,
the event loop uses epoll."""


PROGRAM: Final[Rules] = {
    **_refuse("ptrace process_vm_readv process_vm_writev pidfd_getfd"),
    **_refuse("mount umount2 pivot_root chroot move_mount open_tree fsopen open_by_handle_at"),
    **_refuse("unshare setns bpf perf_event_open userfaultfd keyctl add_key request_key"),
}
"""What a program of others is refused. Everything else is allowed: which calls its next version
makes is not known here."""


def rules_for(kind: ProcessKind, allowed: AllowedAccess) -> Rules:
    """Return all rules for a process of this kind."""
    own: dict[ProcessKind, Rules] = {
        "core": {},
        "edge": _EDGE,
        "etcd": {},  # Until the program is in its place.
        "platform": {
            **_PLATFORM,
            **(_PLATFORM_THAT_CALLS if allowed.tcp_ports else {}),
            "socket": _sockets_of_the_platform(allowed),
        },
    }
    # abort(3) ends this process, and no other.
    return {**_COMMON, **own[kind], "tgkill": _only(0, os.getpid())}
