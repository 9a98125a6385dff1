"""Findings of `keystead doctor`, and those that take no trial, no TPM and no etcd to make.

Each start of a server makes the latter, so this module loads little.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keystead.platform.measurements import REGISTERS
from keystead.processes.platform.settings import PlatformSettings
from keystead.processes.supervisor import memory


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report. A fault has to be corrected, a warning has to be decided upon."""

    text: str
    is_fault: bool = False
    is_warning: bool = False

    def __str__(self) -> str:
        mark = "FAULT: " if self.is_fault else "warning: " if self.is_warning else ""
        return mark + self.text


def warnings_at_start(data: Path, settings: PlatformSettings, *, edges: int) -> tuple[str, ...]:
    """Return the warnings about a server that is about to start, which take no trial and no TPM."""
    findings = (
        *about_machine(),
        about_memory(edges=edges, has_tpm=settings.has_tpm),
        *about_second_place(settings),
        *about_owner(data),
    )
    return tuple(finding.text for finding in findings if finding.is_warning)


def about_machine() -> Iterator[Finding]:
    """Yield warnings about the machine."""
    if len(read_text(Path("/proc/swaps")).splitlines()) > 1:
        yield Finding(
            "swap is on; what is not locked in memory may be written there", is_warning=True
        )
    if read_text(Path("/proc/sys/kernel/yama/ptrace_scope")).strip() in ("", "0", "1", "2"):
        yield Finding(
            "root can trace processes; kernel.yama.ptrace_scope = 3 would forbid that too",
            is_warning=True,
        )

    if not REGISTERS.exists():
        yield Finding("no TPM: nothing says what was booted, and no device key can be sealed to it")


def about_memory(*, edges: int, has_tpm: bool) -> Finding:
    """Return how many passphrases can be checked at once; a warning if it is none."""
    room = memory.room(edges=edges, has_tpm=has_tpm)
    there = f"{room.available_bytes >> 20} MiB of memory"
    if room.checks:
        return Finding(f"{there}: {room.checks} passphrases at once")
    needed = f"{room.needed_bytes >> 20} MiB, with {edges} edges"
    return Finding(f"{there}: to check a passphrase takes {needed}", is_warning=True)


def about_second_place(settings: PlatformSettings) -> Iterator[Finding]:
    """Yield a warning if nothing tells an older database from the present one."""
    if settings.head_file is None and settings.tpm_counter is None:
        yield Finding(
            "no second place: an older copy of the whole database is not noticed", is_warning=True
        )


def about_owner(data: Path) -> Iterator[Finding]:
    """Yield a warning if another user can replace the files of a server."""
    with contextlib.suppress(OSError):
        user, owner = (data / "keystead.lock").stat().st_uid, data.stat().st_uid
        if user != owner:
            yield Finding(
                f"{data} belongs to user {owner} and its files to user {user}: "
                "the former can replace them",
                is_warning=True,
            )


def read_text(path: Path) -> str:
    """Return the text of a file, or nothing if it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
