"""Every pinned package has a wheel for each Python that Keystead runs on: nothing is compiled."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLIBC = ("2_34", "2_28", "2_17")  # Debian 12 has 2.36.


def platforms(machine: str) -> list[str]:
    return [
        option for version in GLIBC for option in ("--platform", f"manylinux_{version}_{machine}")
    ]


def require_builds(lock: str, target: Path, python: str, machine: str, *options: str) -> None:
    """Assert that pip finds what is pinned, with the hashes of the lock. It installs nothing."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"),
            *("--target", target, "--ignore-installed"),
            *("--no-deps", "--require-hashes", *options),
            *("--python-version", python, "--implementation", "cp"),
            *platforms(machine),
            *("--requirement", ROOT / lock),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Max retries exceeded" in ended.stderr:
        pytest.skip("no package index within reach")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_what_the_lock_pins_can_be_installed_without_a_compiler(tmp_path, python, machine):
    require_builds("requirements.lock", tmp_path, python, machine, "--only-binary", ":all:")


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_what_the_tests_need_can_be_installed(tmp_path, python):
    require_builds("requirements-dev.lock", tmp_path, python, "x86_64")
