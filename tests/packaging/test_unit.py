"""The systemd units, as far as they can be judged without systemd running."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "packaging/systemd"
MOST_EXPOSURE = 2.0

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@analyze
@pytest.mark.parametrize("unit", ["keystead.service", "keystead-backup.service"])
def test_systemd_counts_the_service_among_those_that_are_least_exposed(unit):
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNITS / unit],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", ended.stdout)
    assert found is not None, ended.stdout
    assert float(found[1]) <= MOST_EXPOSURE, ended.stdout
    assert "ignoring" not in ended.stderr


@analyze
def test_the_timer_runs_at_times_that_systemd_understands():
    timer = (UNITS / "keystead-backup.timer").read_text()
    (calendar,) = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    subprocess.run(["systemd-analyze", "calendar", calendar], check=True)
