"""What the image is made of, fetched once."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pytest

from keystead.appliance import debian
from keystead.appliance.debian import Package
from keystead.appliance.secure_boot import make_keys
from keystead.errors import InvalidInput

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


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of keys."""
    folder = tmp_path_factory.mktemp("builder") / "keys"
    make_keys(folder, now=NOW)
    return folder
