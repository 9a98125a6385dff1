"""The rules of a cluster as models, which Spin checks in every order of events.

Each rule is left out once, to show that the model would find it missing.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")

RULES = {
    "doubt": ("NO_FENCE", "NO_LAST"),
    "alone": ("NO_STOP", "NO_REPLAY", "NO_NEW_ID", "TWO_RENAMES", "EARLY"),
    "freshness": ("NO_WAIT", "ASKED_AFTER", "NO_PROGRESS", "KEEPS_LOADS"),
}


def errors(model, directory, *left_out):
    """Return how many violations Spin finds in a model. It stops at the first."""

    def run(*command):
        return subprocess.run(  # noqa: S603 - fixed commands
            command, cwd=directory, capture_output=True, text=True, check=True
        ).stdout

    flags = [f"-D{rule}" for rule in left_out]
    run("spin", *flags, "-a", HERE / f"{model}.pml")
    run("gcc", "-DSAFETY", "-o", "pan", "pan.c")
    report = run("./pan", "-E", "-m100000")
    assert "max search depth too small" not in report
    assert "Search not completed" not in report or left_out
    return int(re.search(r"errors: (\d+)", report)[1])


@pytest.mark.parametrize("model", RULES)
def test_no_order_of_events_breaks_the_model(model, tmp_path):
    assert errors(model, tmp_path) == 0


@pytest.mark.parametrize(
    ("model", "rule"), [(model, rule) for model, rules in RULES.items() for rule in rules]
)
def test_without_one_of_its_rules_the_model_is_broken(model, rule, tmp_path):
    assert errors(model, tmp_path, rule) == 1
