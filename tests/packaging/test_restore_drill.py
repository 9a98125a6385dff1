"""keystead-restore-drill as far as it needs no HSM; packaging/deb/test-in-system does the drill."""

import subprocess
from pathlib import Path

import pytest

DRILL = Path(__file__).parents[2] / "packaging/backup/keystead-restore-drill"


@pytest.mark.parametrize("arguments", [[], ["one.backup"], ["one.backup", "two.backup", "admin"]])
def test_what_is_no_file_and_user_gets_the_usage(arguments):
    ran = subprocess.run([DRILL, *arguments], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, "usage: keystead-restore-drill FILE USER\n")
