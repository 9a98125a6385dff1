"""The appliance's page: the algorithm that is added as an example."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, blocks

PROGRAM = """
from scripts import known_answers
known_answers.main()
from keystead.algorithms import BY_NAME, SIGN, PrivateParts
from keystead.self_tests import first_failure
assert first_failure() is None
rows = {(row.name, row.use): row for row in BY_NAME["Generic"].mechanisms}
key = BY_NAME["Generic"].from_parts(PrivateParts(data=bytes([0x0B] * 20)))
print(rows["HMAC_SHA224", SIGN].run(key, b"Hi There").hex())
"""
RFC_4231 = "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22"
"""Section 4.2."""


def test_the_algorithm_that_is_added_as_an_example_works_and_tests_itself(tmp_path: Path) -> None:
    (patch,) = [block for block in blocks(ROOT / "docs/appliance.md") if block.language == "diff"]
    for folder in ("src", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "tests").symlink_to(ROOT / "tests")  # The script reads vectors there.
    applying = ["git", "apply", "-"]
    subprocess.run(applying, cwd=tmp_path, input=patch.text.encode(), check=True)  # noqa: S603 - the system's

    command = [sys.executable, "-c", PROGRAM]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}/src:{tmp_path}"}
    ran = subprocess.run(  # noqa: S603 - what our page shows
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == RFC_4231
