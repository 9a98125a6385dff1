"""What a process may no longer do once it runs: the one place that says so.

`isolate` comes first in a child, before any secret reaches it; `lock_down` last, before it takes
the first byte from anyone. Both are one-way.
"""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Role = Literal["supervisor", "edge", "core", "platform"]

# From linux/prctl.h.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38

_STANDARD_STREAMS: Final = frozenset({0, 1, 2})

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Protections:
    """What is in force in this process, and what is not and why."""

    in_force: tuple[str, ...]
    missing: tuple[str, ...]

    def fields(self) -> dict[str, str]:
        """Return both as fields of a log line."""
        return {"in_force": ", ".join(self.in_force), "missing": ", ".join(self.missing)}


def isolate(*, parent: int, keep: Iterable[int]) -> None:
    """Die with the parent, leave no core file, be opaque to debuggers, own only `keep` files.

    `parent` is the process ID that started this one; when it is gone already, so is this one.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    forbid_dumps()
    _close_all_but(_STANDARD_STREAMS.union(keep))
    # The supervisor says when to stop. A terminal or a service manager signals the whole group.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)


def forbid_dumps() -> None:
    """No core file, no ptrace, no reading of /proc/self/mem by others of the same user."""
    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def lock_down(role: Role) -> Protections:
    """Give up what `role` does not need any more; return what is in force and what is not."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    in_force = ("no new privileges", "no core dumps", "not debuggable")
    missing = [f"no system call filter for {role} yet"]
    if os.geteuid() == 0:
        missing.append("runs as root: no user of its own")
    else:
        missing.append("not started as root: shares its user with the other processes")
    return Protections(in_force, tuple(missing))


def allow_files(wanted: int) -> int:
    """Raise the limit on open files towards `wanted`; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _close_all_but(keep: frozenset[int]) -> None:
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    for number in range(highest + 1):
        if number not in keep:
            with contextlib.suppress(OSError):  # Not open.
                os.close(number)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
