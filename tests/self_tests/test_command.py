"""keystead selftest."""

import subprocess
import sys
from functools import partial

from keystead import algorithms
from keystead.__main__ import main
from keystead.self_tests import entropy


def test_the_command_prints_a_line_for_each_test_and_succeeds():
    done = subprocess.run(
        [sys.executable, "-m", "keystead", "selftest"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "ok      entropy source"
    assert len(lines) == 1 + sum(len(row.mechanisms) for row in algorithms.ALL)
    assert all(line.startswith("ok      ") for line in lines)
    assert "ok      ML_DSA_65 verify ML_DSA" in lines


def test_a_test_that_fails_is_said_and_the_status_is_1(monkeypatch, capsys):
    monkeypatch.setattr(entropy, "healthy_sample", partial(entropy.healthy_sample, bytes))
    assert main(["selftest"]) == 1
    first, *others = capsys.readouterr().out.splitlines()
    assert first == (
        "FAILED  entropy source: The entropy source repeats a byte: repetition count test."
    )
    assert all(line.startswith("ok      ") for line in others)
