"""`pip install .` and pipx, which links the command, need no compiler."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 300
OUT_OF_REACH = re.compile(r"Retrying \(|Max retries exceeded|Read timed out")
WITHOUT_A_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false", "PIP_ONLY_BINARY": ":all:"}


def test_pip_gives_the_command_without_a_compiler_and_a_link_to_it_works(tmp_path):
    environment, link = tmp_path / "environment", tmp_path / "bin" / "keystead"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin/python")
    ended = subprocess.run(
        [*pip, "install", "--no-compile", ROOT],
        env=os.environ | WITHOUT_A_COMPILER,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if ended.returncode and OUT_OF_REACH.search(ended.stdout + ended.stderr):
        pytest.skip("no package index within reach")
    assert ended.returncode == 0, ended.stderr
    link.parent.mkdir()
    link.symlink_to(environment / "bin/keystead")
    for command in (["--version"], ["serve", "--help"], ["keys", "--help"]):
        shown = subprocess.run(
            ["keystead", *command],
            cwd=tmp_path,
            env={"PATH": str(link.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.startswith(("keystead 0.", "usage: keystead"))
