"""Checks the file system of the data partition before it is mounted, and repairs what is safe."""

import os
import subprocess
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


def check(
    device: Path, *, program: Path = _FOLDER / "e2fsck", as_user: tuple[int, int] = _NOBODY
) -> list[str]:
    """Check the file system, which is not mounted, and return what was repaired, in lines.

    A file system that was unmounted in order, or whose journal says all, is not read as a whole.
    The program runs as a user and a group of its own: whoever has written the disk may have
    written it to attack the program. Raises StartRefused if the damage is not safe to repair.
    """
    before = device.stat()
    user, group = as_user
    os.chown(device, user, group)
    try:
        ended = subprocess.run(  # noqa: S603 - the image's own
            [program, "-p", device],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"LD_LIBRARY_PATH": str(program.parent)},
            cwd="/",
            user=user,
            group=group,
            check=False,
        )
    finally:
        os.chown(device, before.st_uid, before.st_gid)
    lines = _readable(ended.stdout)
    if ended.returncode & ~_REPAIRED:
        raise StartRefused(
            f"The data partition is damaged. e2fsck says: {' '.join(lines)} Repair it on another "
            "machine, with e2fsck, or restore a backup into a new disk."
        )
    return lines if ended.returncode else []


def _readable(output: bytes) -> list[str]:
    """Return the last lines of the output, without what could control the console."""
    lines = output.decode("ascii", "replace").splitlines()
    kept = ["".join(filter(str.isprintable, line)).strip() for line in lines]
    return [line for line in kept if line][-_MAX_LINES:]


def remove_program(folder: Path = _FOLDER) -> None:
    """Remove the program and its libraries: nothing needs it any more."""
    for path in folder.iterdir():
        path.unlink()
