"""The image of the appliance, what it is made of, and its firmware: each of them made once."""

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from keystead.__main__ import main
from keystead.appliance import debian, disk
from keystead.appliance.debian import Package
from keystead.appliance.secure_boot import make_keys
from keystead.errors import InvalidInput
from tests.appliance.machines import ROOT, VARIABLES

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def fetched(names: Sequence[str], folder: Path) -> list[Package]:
    """Return these packages of Debian. The test is skipped where they cannot be had."""
    try:
        files = debian.fetch(names, folder)
    except InvalidInput as error:
        pytest.skip(f"the packages of the appliance cannot be had: {error.message}")
    return [debian.read_package(path) for path in files]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Package]:
    """The packages of the image."""
    try:
        names = debian.package_names()
    except InvalidInput as error:
        pytest.skip(f"the appliance cannot be built here: {error.message}")
    return fetched(names, tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of keys."""
    folder = tmp_path_factory.mktemp("builder") / "keys"
    make_keys(folder, now=NOW)
    return folder


@pytest.fixture(scope="session")
def built(keys: Path) -> Path:
    """A folder with the signed image and its disk."""
    if shutil.which("qemu-system-x86_64") is None or not VARIABLES.exists():
        pytest.skip("QEMU or OVMF is not installed")
    out = keys.parent / "out"
    options = ["--keys", str(keys), *(f"--format={form}" for form in disk.FORMATS)]
    assert main(["image", "build", *options, str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def enrolled(keys: Path) -> Path:
    """Variables of a firmware that starts only what these keys have signed."""
    program = Path(sys.executable).parent / "virt-fw-vars"
    if not program.exists():
        pytest.skip("virt-firmware is not installed: make appliance-test adds it")
    out = keys.parent / "variables.fd"
    subprocess.run([ROOT / "scripts/enrol-keys", program, keys, out], check=True)  # noqa: S603 - ours
    return out
