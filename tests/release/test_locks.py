"""The locks: complete, consistent, and nothing in them but names, versions and hashes."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
EXTRA_LOCKS = (
    "requirements-tpm2.lock",
    "requirements-tpm2-build.lock",
    "requirements-pkcs11.lock",
    "requirements-crates.lock",
)
EXAMPLES_LOCKS = (
    "requirements-certbot.lock",
    "requirements-ethereum.lock",
    "requirements-pykcs11.lock",
)
SITE_LOCKS = ("requirements-docs.lock", "requirements-chart.lock", "requirements-appliance.lock")
CLIENTS_LOCKS = ("requirements-nitropy.lock", "requirements-private-keys.lock")
PIN = re.compile(r"[a-z0-9-]+==[^\s=*]+( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+")


def pins(lock):
    """Each pin of a lock on one line, by name."""
    lines = (ROOT / lock).read_text().replace(" \\\n   ", "").splitlines()
    return {line.split("==")[0]: line for line in lines}


def version_of(pin):
    return pin.split("==")[1].split(" ")[0]


@pytest.mark.parametrize(
    "lock", [*LOCKS, *EXTRA_LOCKS, *CLIENTS_LOCKS, *EXAMPLES_LOCKS, *SITE_LOCKS]
)
def test_a_lock_is_pins_with_hashes_in_order_and_nothing_else(lock):
    found = pins(lock)
    assert found
    for line in found.values():
        assert PIN.fullmatch(line), line
    assert list(found) == sorted(found)


def test_what_runs_is_what_is_tested():
    tested = pins("requirements-dev.lock")
    for name, pin in pins("requirements.lock").items():
        assert tested[name] == pin


@pytest.mark.parametrize("lock", LOCKS)
def test_each_requirement_of_the_project_is_pinned_within_its_range(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["build-system"]["requires"]
    if lock == "requirements-dev.lock":
        wanted += project["dependency-groups"]["dev"]
    found = pins(lock)
    for requirement in map(Requirement, wanted):
        pin = found[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(version_of(pin)), requirement


def test_what_the_tpm_needs_is_pinned_within_its_range_and_as_it_is_elsewhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = map(Requirement, project["optional-dependencies"]["tpm2"])
    assert wanted.specifier.contains(version_of(pins("requirements-tpm2.lock")[wanted.name]))
    everything = pins("requirements-dev.lock")
    for lock in EXTRA_LOCKS:
        for name, pin in pins(lock).items():
            assert everything.setdefault(name, pin) == pin


@pytest.mark.parametrize("lock", SITE_LOCKS)
def test_what_joins_the_tests_environment_changes_nothing_in_it(lock):
    everything = pins("requirements-dev.lock")
    for name, pin in pins(lock).items():
        assert version_of(everything.get(name, pin)) == version_of(pin)


def test_what_is_pinned_needs_nothing_that_is_not():
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
