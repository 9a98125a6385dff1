"""A small disk to fill: a tmpfs, which only root can mount."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(directory: Path, *, mebibytes: int) -> Iterator[Path]:
    """Mount a disk below `directory` for as long as this lasts; skip the test where none can be."""
    with disk_or_none(directory, mebibytes=mebibytes) as disk:
        if disk is None:
            pytest.skip("no file system can be mounted here")
        yield disk


@contextlib.contextmanager
def disk_or_none(directory: Path, *, mebibytes: int) -> Iterator[Path | None]:
    """Mount a disk as `small_disk` does, or give None where none can be."""
    mount = directory / "disk"
    mount.mkdir()
    options = f"size={mebibytes}m,mode=0755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603 - a fixed command
        yield None
        return
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)  # noqa: S603, S607 - as above


def fill(disk: Path) -> None:
    """Fill the disk with a file, `fill`, which goes on where an earlier call left off."""
    with (disk / "fill").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))
