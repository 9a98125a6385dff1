"""User, capabilities and network of a process: what it has, and what it gives up."""

import ctypes
import os
import struct
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from keystead.processes.sandbox import kernel
from keystead.processes.sandbox.process_kind import ProcessKind

USERS: Final[dict[ProcessKind, int]] = {"core": 65521, "edge": 65522, "platform": 65523}
"""User and group of each process where the supervisor is root. They need no name. Neither Debian
nor systemd gives these numbers to anyone, and a container has them."""

# From linux/capability.h.
CHOWN: Final = 0
DAC_OVERRIDE: Final = 1
KILL: Final = 5
SETGID: Final = 6
SETUID: Final = 7
IPC_LOCK: Final = 14
SYS_ADMIN: Final = 21

_FOR_OTHER_USERS: Final = frozenset({CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID})
"""To start processes as other users, to end them, and to give the platform its files."""

_CAPABILITY_VERSION_3: Final = 0x20080522
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000


def capabilities() -> frozenset[int]:
    """Return the capabilities that this thread is permitted."""
    status = Path("/proc/thread-self/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapPrm"))
    return frozenset(number for number in range(64) if int(mask, 16) >> number & 1)


def keep_only(wanted: AbstractSet[int]) -> None:
    """Give up all capabilities but those of `wanted` that there are. Raises OSError.

    Nothing stays that could be inherited, so the ambient ones go as well.
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
    """Return whether this process, the supervisor, may run others as users of their own."""
    return os.geteuid() == 0 and capabilities() >= _FOR_OTHER_USERS


def own_user(kind: ProcessKind) -> int | None:
    """Return the user that a process of this kind is to be, None when it cannot be another."""
    return USERS[kind] if may_use_other_users() else None


def become(user: int) -> bool:
    """Become this user and its group, and keep the capabilities; return whether that could be.

    The process must have one thread.
    """
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return False  # A container without these users.
    return True


def leave_network() -> bool:
    """Move to a network without interfaces; return whether that could be.

    Sockets that are open stay where they are, and what a listening one accepts is there too. The
    process must have one thread. An ordinary user needs a user namespace of its own for it. There,
    the right to lock memory would be lost.
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
