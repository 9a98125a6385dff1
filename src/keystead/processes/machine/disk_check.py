"""Checks the file system of the data partition before it is mounted, and repairs what is safe."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Final

from keystead.errors import StartRefused

_FOLDER: Final = Path("/usr/lib/check")
"""The program and the libraries that it alone needs."""
_NOBODY: Final = (65534, 65534)
"""A user and a group that own nothing else."""
_REPAIRED: Final = 0b11
"""The bits of the status of e2fsck that say that the file system is in order now."""
_MAX_LINES: Final = 5
_KEPT_BYTES: Final = 2048
"""Of what the program says. The last lines say how it has ended."""
_PATIENCE_SECONDS: Final = 600.0
_SECONDS_FOR_GIB: Final = 5
"""A slow disk takes one second: one part in 64 of it are inodes, which are all read."""
_LAST_SECONDS: Final = 10.0
"""How long the kernel may take to end a program that was killed."""


def check(
    device: Path,
    *,
    program: Path = _FOLDER / "e2fsck",
    as_user: tuple[int, int] = _NOBODY,
    patience_seconds: float = _PATIENCE_SECONDS,
) -> list[str]:
    """Check the file system, which is not mounted, and return what was repaired, in lines.

    A file system that was unmounted in order, or whose journal says all, is not read as a whole.
    The program runs as a user and a group of its own: whoever has written the disk may have
    written it to attack the program. So what it says is cut, and its time is too: it has
    `patience_seconds`, and 5 for each GiB. Raises StartRefused if the damage is not safe to repair,
    or if the check is not finished in time: then nobody knows what a mount would find.
    """
    before = device.stat()
    user, group = as_user
    seconds = patience_seconds + _SECONDS_FOR_GIB * _gib(device)
    os.chown(device, user, group)
    try:
        output, status = _run([program, "-p", device], user, group, seconds)
    finally:
        os.chown(device, before.st_uid, before.st_gid)
    lines = _readable(output)
    if status is None or status & ~_REPAIRED:
        found = "is damaged" if status is not None else "was not checked to its end in time"
        raise StartRefused(
            f"The data partition {found}. e2fsck says: {' '.join(lines)} Repair it on another "
            "machine, with e2fsck, or restore a backup into a new disk."
        )
    return lines if status else []


def _gib(device: Path) -> int:
    with device.open("rb") as disk:
        return disk.seek(0, os.SEEK_END) >> 30


def _run(
    command: Sequence[Path | str], user: int, group: int, seconds: float
) -> tuple[bytes, int | None]:
    """Return the end of what a program says, and its status: None if it had to be killed."""
    end, (reading, writing) = time.monotonic() + seconds, os.pipe()
    with FileIO(reading) as output:
        with FileIO(writing, "w") as its_output:
            running = subprocess.Popen(  # noqa: S603 - the image's own
                command,
                stdin=subprocess.DEVNULL,
                stdout=its_output,
                stderr=its_output,
                env={"LD_LIBRARY_PATH": str(Path(command[0]).parent)},
                cwd="/",
                user=user,
                group=group,
            )
        kept = _read(output, end)
        try:
            return kept, running.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            running.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):  # A disk that fails may hold it.
        running.wait(_LAST_SECONDS)
    return kept, None


def _read(output: FileIO, end: float) -> bytes:
    """Read until the program says no more, or until the end. Return the last that it has said."""
    kept = b""
    while (left := end - time.monotonic()) > 0 and select.select([output], [], [], left)[0]:
        part = output.read(_KEPT_BYTES)
        if not part:
            break
        kept = (kept + part)[-_KEPT_BYTES:]
    return kept


def _readable(output: bytes) -> list[str]:
    """Return the last lines of the output, without what could control the console."""
    lines = output.decode("ascii", "replace").splitlines()
    kept = ["".join(filter(str.isprintable, line)).strip() for line in lines]
    return [line for line in kept if line][-_MAX_LINES:]


def remove_program(folder: Path = _FOLDER) -> None:
    """Remove the program and its libraries: nothing needs it any more."""
    for path in folder.iterdir():
        path.unlink()
