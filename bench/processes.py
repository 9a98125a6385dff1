"""What the server's processes use: CPU time and memory, by role, from /proc."""

import contextlib
import os
import resource
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT_OPTION = b"--parent="


def roles(supervisor: int) -> dict[int, str]:
    """Return the server's processes and their roles, of which several may be edges."""
    found = {supervisor: "supervisor"}
    mark = _PARENT_OPTION + str(supervisor).encode()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            arguments = (
                (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            )
            if mark in arguments:
                module = arguments[arguments.index(b"-m") + 1].decode()
                found[int(folder.name)] = module.rpartition(".")[2]
    return found


def cpu_seconds(supervisor: int) -> dict[str, float]:
    """Return the CPU time so far by role; `load` is this process and its children that ended."""
    used = dict.fromkeys(("load", *roles(supervisor).values()), 0.0)
    for pid, role in roles(supervisor).items():
        # After the name in parentheses: utime and stime are the 12th and 13th field, proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used[role] += (int(fields[11]) + int(fields[12])) / _TICKS
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        used["load"] += usage.ru_utime + usage.ru_stime
    return used


def cpu_us_per_request(
    before: Mapping[str, float], after: Mapping[str, float], requests: float
) -> dict[str, float]:
    """Return microseconds of CPU for each request between two `cpu_seconds`."""
    return {
        role: 1e6 * (seconds - before.get(role, 0.0)) / max(requests, 1)
        for role, seconds in after.items()
    }


def resident_mib(supervisor: int) -> dict[str, float]:
    """Return the resident memory by role, in MiB; pages that they share count for each."""
    used = dict.fromkeys(roles(supervisor).values(), 0.0)
    for pid, role in roles(supervisor).items():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("VmRSS:")]
        used[role] += int(line.split()[1]) / 1024
    return used


def proportional_mib(supervisor: int) -> float:
    """Return the memory of all processes in MiB (PSS); pages that they share count once."""
    used = 0
    for pid in roles(supervisor):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("Pss:")]
        used += int(line.split()[1])
    return used / 1024
