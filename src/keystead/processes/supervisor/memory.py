"""How many passphrases can be checked at once in the memory that there is.

Each check takes 16 MiB. Where memory runs out, the kernel ends the process that has most of it:
the core. A client without any rights must not be able to cause that.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

MOST_CHECKS: Final = 4
"""The core has no more threads for passphrases."""
CHECK_BYTES: Final = 16 * 1024 * 1024
"""What scrypt takes for one passphrase (128 N r)."""
OTHERS_BYTES: Final = 172 * 1024 * 1024
"""What the appliance takes for everything else, with one edge (165 MiB), and some room."""
EDGE_BYTES: Final = 16 * 1024 * 1024
"""What each other edge takes."""

_GROUPS: Final = Path("/sys/fs/cgroup")
_OUR_GROUP: Final = Path("/proc/self/cgroup")
_LIMITS: Final = ("memory.max", "memory.high")


def checks_that_fit(available_bytes: int, *, edges: int) -> int:
    """Return how many passphrases can be checked at once: from 0 to MOST_CHECKS."""
    left = available_bytes - _others_bytes(edges)
    return max(0, min(left // CHECK_BYTES, MOST_CHECKS))


def needed_bytes(*, edges: int) -> int:
    """Return the least memory in which a passphrase can be checked."""
    return _others_bytes(edges) + CHECK_BYTES


def _others_bytes(edges: int) -> int:
    return OTHERS_BYTES + (edges - 1) * EDGE_BYTES


def memory_bytes(groups: Path = _GROUPS, our_group: Path = _OUR_GROUP) -> int:
    """Return the memory of this machine, or what control groups (version 2) allow if it is less.

    The kernel answers sysconf(3) also where a service sees nothing of /proc but processes.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(groups, our_group)])


def _limits(groups: Path, our_group: Path) -> Iterator[int]:
    for line in _text(our_group).splitlines():
        number, _, name = line.partition("::/")
        if number != "0":
            continue
        group = PurePosixPath(name)
        for folder in (group, *group.parents):
            for limit in _LIMITS:
                text = _text(groups / folder / limit).strip()
                if text.isdecimal():  # It is `max` where there is no limit.
                    yield int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
