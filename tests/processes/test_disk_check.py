"""The data partition of the appliance is checked before it is mounted."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from keystead.errors import StartRefused
from keystead.processes.machine import disk_check

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
PROGRAM = shutil.which("e2fsck", path=PATH)
OURSELVES = (os.getuid(), os.getgid())
WITH_ERRORS = 0x2
"""What the kernel writes into the state of a file system when it has found an error."""

LONGEST = 2500
"""More characters than any reason for the end of a start has."""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="e2fsprogs is not installed")


def system(*command: str | Path) -> str:
    ended = subprocess.run(  # noqa: S603 - the system's
        command, env={"PATH": PATH}, capture_output=True, text=True, check=True
    )
    return ended.stdout


def debugfs(device: Path, *requests: str) -> None:
    for request in requests:
        system("debugfs", "-w", "-R", request, device)


def checked(device: Path) -> list[str]:
    assert PROGRAM is not None
    return disk_check.check(device, program=Path(PROGRAM), as_user=OURSELVES)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A file system with one file, as the builder makes it."""
    path, file = tmp_path / "data", tmp_path / "file"
    file.write_bytes(b"content" * 1000)
    system("mkfs.ext4", "-q", "-F", "-b", "4096", path, "4096")
    debugfs(path, f"write {file} kept")
    return path


def content(device: Path, name: str) -> str:
    return system("debugfs", "-R", f"cat {name}", device)


def damage_inode(device: Path) -> None:
    """Flip bytes in the inode of the file, as a failing disk does."""
    found = system("debugfs", "-R", "imap kept", device)
    block, offset = found.split("located at block ")[1].split(", offset ")
    where = int(block) * 4096 + int(offset, 0)
    with device.open("r+b") as disk:
        disk.seek(where)
        old = disk.read(64)
        disk.seek(where)
        disk.write(bytes(byte ^ 0xFF for byte in old))


def test_a_sound_file_system_passes_and_stays_as_it_was(device: Path) -> None:
    before = device.read_bytes()

    assert checked(device) == []
    assert device.read_bytes() == before


def test_what_is_safe_to_repair_is_repaired_and_told(device: Path) -> None:
    debugfs(device, "ssv free_blocks_count 7", f"ssv state {WITH_ERRORS}")

    told = checked(device)

    assert any("files" in line for line in told)
    assert checked(device) == []
    assert content(device, "kept") == "content" * 1000


def test_a_damaged_inode_ends_the_start_with_what_to_do(device: Path) -> None:
    damage_inode(device)
    debugfs(device, f"ssv state {WITH_ERRORS}")
    before = device.stat()

    for _ in range(2):
        with pytest.raises(StartRefused, match="restore a backup into a new disk") as refused:
            checked(device)
        assert "INCONSISTENCY" in refused.value.message
    assert (device.stat().st_uid, device.stat().st_gid) == (before.st_uid, before.st_gid)


def test_a_partition_without_a_file_system_ends_the_start(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(bytes(2**20))

    with pytest.raises(StartRefused, match="damaged"):
        checked(empty)


def test_a_program_that_is_killed_has_checked_nothing(tmp_path: Path, device: Path) -> None:
    program = tmp_path / "e2fsck"
    program.write_text("#!/bin/sh\nkill -KILL $$\n")
    program.chmod(0o755)

    with pytest.raises(StartRefused, match="damaged"):
        disk_check.check(device, program=program, as_user=OURSELVES)


def test_nothing_on_the_disk_controls_the_console(tmp_path: Path, device: Path) -> None:
    program = tmp_path / "e2fsck"
    program.write_text("#!/bin/sh\nprintf 'one\\033[2J\\377\\n\\n'; exit 1\n")
    program.chmod(0o755)

    assert disk_check.check(device, program=program, as_user=OURSELVES) == ["one[2J\ufffd"]


def children() -> str:
    """Return the processes that this one has started and not waited for."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


@pytest.mark.parametrize("script", ["exec sleep 600", "exec yes", "exec >&- 2>&-; exec sleep 600"])
def test_a_check_that_does_not_end_is_ended_and_nothing_is_mounted(
    tmp_path: Path, device: Path, script: str
) -> None:
    program = tmp_path / "e2fsck"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    before, running = device.stat(), children()

    with pytest.raises(StartRefused, match="was not checked to its end in time") as refused:
        disk_check.check(device, program=program, as_user=OURSELVES, patience_seconds=0.2)

    assert len(refused.value.message) < LONGEST
    assert children() == running
    assert (device.stat().st_uid, device.stat().st_gid) == (before.st_uid, before.st_gid)


def test_of_a_long_output_the_end_is_kept(tmp_path: Path, device: Path) -> None:
    program = tmp_path / "e2fsck"
    program.write_text("#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\necho the end\nexit 4\n")
    program.chmod(0o755)

    with pytest.raises(StartRefused, match="the end Repair it") as refused:
        disk_check.check(device, program=program, as_user=OURSELVES)
    assert len(refused.value.message) < LONGEST


def test_the_program_is_removed_when_it_is_done(tmp_path: Path) -> None:
    for name in ("e2fsck", "libext2fs.so.2"):
        (tmp_path / name).write_bytes(b"")

    disk_check.remove_program(tmp_path)

    assert list(tmp_path.iterdir()) == []
