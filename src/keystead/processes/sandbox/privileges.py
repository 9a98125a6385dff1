"""Gives up capabilities, the network, and the user of a process."""

import ctypes
import os
import struct
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from keystead.processes.sandbox import kernel
from keystead.processes.sandbox.process_kind import ProcessKind

USERS: Final[dict[ProcessKind, int]] = {
    "core": 65521,
    "edge": 65522,
    "platform": 65523,
    "etcd": 65524,
}
"""The user and group of each process if the supervisor is root. They need no name. Debian and
systemd do not use these numbers, and containers have them."""

# From linux/capability.h.
CHOWN: Final = 0
DAC_OVERRIDE: Final = 1
KILL: Final = 5
SETGID: Final = 6
SETUID: Final = 7
IPC_LOCK: Final = 14
SYS_ADMIN: Final = 21

_FOR_OTHER_USERS: Final = frozenset({CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID})
"""The capabilities to run processes as other users, end them, and give the platform its files."""

_CAPABILITY_VERSION_3: Final = 0x20080522
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000


def capabilities() -> frozenset[int]:
    """Return the capabilities that this thread is permitted."""
    status = Path("/proc/thread-self/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapPrm"))
    return frozenset(number for number in range(64) if int(mask, 16) >> number & 1)


def keep_only(wanted: AbstractSet[int]) -> None:
    """Give up all capabilities except those in `wanted`. Raises OSError if the kernel refuses it.

    The inheritable set becomes empty, and with it the ambient set.
    """
    mask = sum(1 << number for number in wanted & capabilities())
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=6I", low, low, 0, high, high, 0)
    kernel.call(
        "capset",
        ctypes.create_string_buffer(header, len(header)),
        ctypes.create_string_buffer(sets, len(sets)),
    )


def may_use_other_users() -> bool:
    """Return whether the supervisor, this process, may run the others as users of their own."""
    return os.geteuid() == 0 and capabilities() >= _FOR_OTHER_USERS and _has_other_users()


def _has_other_users() -> bool:
    """Return whether this user namespace has USERS and lets a process leave its groups.

    See user_namespaces(7).
    """
    own = Path("/proc/self")
    try:
        if (own / "setgroups").read_text().strip() != "allow":
            return False
        maps = [(own / name).read_text().splitlines() for name in ("uid_map", "gid_map")]
    except FileNotFoundError:  # A kernel without user namespaces.
        return True
    return all(_are_mapped(lines) for lines in maps)


def _are_mapped(lines: Sequence[str]) -> bool:
    """Return whether the lines of a `uid_map` or `gid_map` give a place to each of USERS."""
    fields = [[int(field) for field in line.split()] for line in lines]
    mapped = [range(start, start + length) for start, _, length in fields]
    return all(any(user in one for one in mapped) for user in USERS.values())


def own_user(kind: ProcessKind) -> int | None:
    """Return the user that a process of this kind is to be, None when it cannot be another."""
    return USERS[kind] if may_use_other_users() else None


def become(user: int) -> bool:
    """Become this user and its group, and keep the capabilities. Return whether that worked.

    The process must have one thread.
    """
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return False  # The container refuses it.
    return True


def leave_network() -> bool:
    """Move to a network namespace without interfaces. Return whether that worked.

    Open sockets stay in their namespace, and so do connections that a listening socket accepts. The
    process must have one thread. An unprivileged user needs a user namespace for this, in which the
    right to lock memory would be lost.
    """
    held = capabilities()
    if IPC_LOCK in held and SYS_ADMIN not in held:
        return False
    namespaces = _CLONE_NEWNET if SYS_ADMIN in held else _CLONE_NEWNET | _CLONE_NEWUSER
    try:
        kernel.call("unshare", namespaces)
    except OSError:
        return False
    return True
