"""How many passphrases can be checked at once in the memory that there is.

Each check takes 16 MiB. Where memory runs out, the kernel ends the process that has most of it:
the core. A client without any rights must not be able to cause that.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

MOST_CHECKS: Final = 4
"""The core has no more threads for passphrases."""
CHECK_BYTES: Final = 16 * 1024 * 1024
"""What scrypt takes for one passphrase (128 N r)."""
OTHERS_BYTES: Final = 156 * 1024 * 1024
"""What the appliance takes for everything else, with one edge (149 MiB), and some room."""
EDGE_BYTES: Final = 16 * 1024 * 1024
"""What each other edge takes."""
TPM_BYTES: Final = 8 * 1024 * 1024
"""What a TPM takes: its library in the platform, and the kernel's part (6 MiB), and some room."""

_GROUPS: Final = Path("/sys/fs/cgroup")
_OUR_GROUP: Final = Path("/proc/self/cgroup")
_LIMITS: Final = ("memory.max", "memory.high")


@dataclass(frozen=True, slots=True)
class Room:
    """The memory that there is, and what the server needs of it."""

    available_bytes: int
    needed_bytes: int
    """The least memory in which a passphrase can be checked."""

    @property
    def checks(self) -> int:
        """How many passphrases can be checked at once: from 0 to MOST_CHECKS."""
        left = self.available_bytes - self.needed_bytes + CHECK_BYTES
        return max(0, min(left // CHECK_BYTES, MOST_CHECKS))


def room(*, edges: int, has_tpm: bool) -> Room:
    """Return the memory of this machine, for a server that has so many edges and uses a TPM."""
    others = OTHERS_BYTES + (edges - 1) * EDGE_BYTES + has_tpm * TPM_BYTES
    return Room(memory_bytes(), others + CHECK_BYTES)


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
