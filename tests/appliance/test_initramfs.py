"""What is in the root file system of the appliance, and what is not."""

import hashlib
import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from keystead.appliance import cpio
from keystead.appliance.content import ImageFile
from keystead.appliance.debian import Package
from keystead.appliance.elf import is_elf, needed_libraries
from keystead.appliance.initramfs import (
    CHECK,
    CONFIGURATION,
    INTERPRETER,
    MODULES,
    UPDATE_KEY,
    WITH_TPM,
    PublicKeys,
    configuration,
    root_entries,
)
from keystead.appliance.python_files import has_tpm
from keystead.appliance.secure_boot import SigningKeys
from keystead.appliance.sign_policy import sign_policy
from keystead.appliance.tools import run
from keystead.processes.supervisor.configuration import read_configuration

LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
NO_CHROOT = 125
"""What chroot(1) ends with if it cannot change the root directory."""
MAX_BYTES = 59_000_000
"""The unpacked system stays in the memory of the machine."""
TCTI_IO_ERROR = "0xa000a"
"""TSS2_TCTI_RC_IO_ERROR: the driver for a TPM's device was loaded, and there is no device."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its root directory")
needs_tpm_package = pytest.mark.skipif(
    not has_tpm(), reason="tpm2-pytss is not installed as make tpm2 does it"
)
INSIDE = ("_testcapi", "_testinternalcapi")
"""Modules of Python's own tests, which reach into the interpreter."""
SHELLS = {"sh", "bash", "dash", "busybox", "ash", "zsh", "login", "su", "sshd", "apt", "dpkg"}
SERVER = (
    "keystead.processes.machine.process",
    "keystead.server_commands",
    "keystead.processes.core.process",
    "keystead.processes.edge.process",
    "keystead.processes.platform.process",
    "keystead.storage.backends.sqlite",
)
"""What runs in the appliance."""


@pytest.fixture(scope="module")
def entries(packages: list[Package]) -> list[ImageFile]:
    """The root file system."""
    return root_entries(packages)


def unpack(entries: Sequence[ImageFile], root: Path) -> None:
    """Write everything but device files below `root`."""
    root.mkdir(exist_ok=True)
    for entry in entries:
        path = root / entry.path
        match entry.kind:
            case stat.S_IFDIR:
                path.mkdir()
            case stat.S_IFLNK:
                path.symlink_to(entry.content.decode())
            case stat.S_IFREG:
                path.write_bytes(entry.content)
                path.chmod(entry.permissions)


def digest(entries: Sequence[ImageFile]) -> str:
    found = hashlib.sha256()
    for piece in cpio.archive(entries):
        found.update(piece)
    return found.hexdigest()


def test_the_image_holds_python_keystead_a_disk_check_and_nothing_else_that_runs(
    entries: list[ImageFile],
) -> None:
    files = [entry for entry in entries if entry.kind == stat.S_IFREG]
    programs = {entry.path for entry in files if entry.permissions & 0o111}

    assert programs == {INTERPRETER, LOADER, f"{CHECK}e2fsck"}
    assert not [entry.path for entry in files if entry.content.startswith(b"#!/bin")]
    assert not [entry.path for entry in files if PurePosixPath(entry.path).name in SHELLS]
    assert not [entry.path for entry in files if PurePosixPath(entry.path).name.startswith(INSIDE)]
    assert not [entry.path for entry in entries if entry.mode & (stat.S_ISUID | stat.S_ISGID)]
    assert not [entry.path for entry in files if entry.permissions & 0o222]
    assert {entry.origin for entry in files if entry.origin.startswith("made by")} == {
        "made by the builder"
    }
    assert sum(len(entry.content) for entry in entries) < MAX_BYTES


def test_every_library_that_a_file_needs_is_in_the_image(entries: list[ImageFile]) -> None:
    present = {PurePosixPath(entry.path).name for entry in entries}
    needed = {
        name
        for entry in entries
        if is_elf(entry.content) and not entry.path.startswith(MODULES)
        for name in needed_libraries(entry.content)
    }

    assert needed <= present


@needs_root
def test_the_disk_check_of_the_image_checks_a_file_system(
    entries: list[ImageFile], tmp_path: Path
) -> None:
    program = """
from pathlib import Path
from keystead.processes.machine import disk_check
print(disk_check.check(Path("/data/disk")))
disk_check.remove_program()
print(list(Path("/usr/lib/check").iterdir()))
"""
    made = tmp_path / "disk"
    run("mkfs.ext4", "-q", "-F", made, "8M")
    unpack(entries, tmp_path / "root")
    made.rename(tmp_path / "root/data/disk")
    (tmp_path / "root/dev/null").touch()

    assert run_in(tmp_path / "root", program) == "[]\n[]\n"


def test_a_second_build_is_identical(entries: list[ImageFile], packages: list[Package]) -> None:
    again = root_entries(list(reversed(packages)))

    assert digest(again) == digest(entries)


def test_the_builders_update_key_is_in_the_image_and_in_force(keys: Path, tmp_path: Path) -> None:
    public = PublicKeys.of(SigningKeys.in_folder(keys))
    for entry in configuration(public):
        (tmp_path / PurePosixPath(entry.path).name).write_bytes(entry.content)

    read = read_configuration(tmp_path / PurePosixPath(CONFIGURATION).name)

    assert read.platform.core.update_key_pem == public.update
    assert read.platform.device_key.provider == "file"


@needs_tpm_package
def test_on_a_machine_with_a_tpm_the_device_key_is_sealed_to_the_builders_key(
    keys: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_bytes(
        sign_policy(
            b'{"measurements": {"pcr11": "%s"}}' % (b"11" * 32),
            (keys / "policy.key").read_bytes(),
            security_version=1,
        )
    )
    for entry in configuration(PublicKeys.of(SigningKeys.in_folder(keys))):
        # The stub puts the policy there when the machine starts.
        there = entry.content.replace(b"/.extra/tpm2-pcr-signature.json", bytes(policy))
        (tmp_path / PurePosixPath(entry.path).name).write_bytes(there)

    found = read_configuration(tmp_path / PurePosixPath(WITH_TPM).name).platform.device_key

    assert (found.provider, found.revoke_older, found.pcrs) == ("tpm2", True, "sha256:7")
    assert found.image_key_pem == (keys / "policy.pem").read_bytes()
    assert found.image_policy == policy.read_bytes()


@needs_tpm_package
def test_on_a_machine_with_a_tpm_the_server_is_told_of_it(tmp_path: Path) -> None:
    for entry in configuration(None):
        (tmp_path / PurePosixPath(entry.path).name).write_bytes(entry.content)

    without, with_tpm = (
        read_configuration(tmp_path / PurePosixPath(name).name).platform.attestation
        for name in (CONFIGURATION, WITH_TPM)
    )
    assert without is None
    assert with_tpm is not None
    assert (with_tpm.tpm, with_tpm.is_optional) == ("/dev/tpmrm0", True)
    assert with_tpm.pcrs.endswith(",11")


@needs_root
@needs_tpm_package
def test_the_tpm_s_library_is_in_the_image_and_loads(
    entries: list[ImageFile], tmp_path: Path
) -> None:
    program = """
from tpm2_pytss import TCTILdr, TSS2_Exception
try:
    TCTILdr("device", "/dev/no-tpm")
except TSS2_Exception as error:
    print(hex(error.rc))
"""
    assert run_inside(entries, tmp_path, program).strip() == TCTI_IO_ERROR
    found = {PurePosixPath(entry.path).name for entry in entries}
    assert not [name for name in found if name.startswith(("libcurl", "libtss2-fapi"))]


def test_an_image_without_keys_takes_no_updates(entries: list[ImageFile], tmp_path: Path) -> None:
    (found,) = [entry for entry in entries if entry.path == CONFIGURATION]
    (tmp_path / "file").write_bytes(found.content)

    assert read_configuration(tmp_path / "file").platform.core.update_key_pem is None
    assert UPDATE_KEY not in {entry.path for entry in entries}


@needs_root
def test_everything_that_the_server_imports_is_in_the_image_and_passes_the_self_tests(
    entries: list[ImageFile], tmp_path: Path
) -> None:
    program = (
        f"import importlib; [importlib.import_module(name) for name in {SERVER!r}]\n"
        "from keystead.self_tests import first_failure; print(first_failure())"
    )

    assert run_inside(entries, tmp_path, program) == "None\n"


def run_inside(entries: list[ImageFile], root: Path, program: str) -> str:
    """Run a Python program with the image's own interpreter and files. Return its output."""
    unpack(entries, root)
    return run_in(root, program)


def run_in(root: Path, program: str) -> str:
    """Do the same where the files are in `root` already."""
    ended = subprocess.run(  # noqa: S603 - the image's own interpreter
        ["chroot", root, f"/{INTERPRETER}", "-I", "-c", program],  # noqa: S607 - the system's
        env={"PATH": "/usr/sbin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == NO_CHROOT:
        pytest.skip(f"this machine allows no other root directory: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
