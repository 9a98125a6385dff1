"""The container image, as far as its files say; `make container-test` builds and runs it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "packaging/container/Containerfile").read_text()
LAST_STAGE = CONTAINERFILE.rpartition("FROM ")[2]


def last(instruction: str) -> str:
    return re.findall(rf"^{instruction} (.*)$", LAST_STAGE, re.MULTILINE)[-1]


def test_its_user_is_a_number_and_not_root():
    user, group = last("USER").split(":")
    assert int(user) > 0
    assert int(group) == 0
    assert f"--owner={user} --group={group} --mode=0770 {last('VOLUME')}" in LAST_STAGE


def test_all_packages_come_by_their_hashes_and_none_is_compiled():
    installs = re.findall(r"pip install (.*?) \\$", CONTAINERFILE, re.MULTILINE)
    assert [shlex.split(install)[:2] for install in installs] == [
        ["--require-hashes", "--no-deps"],
        ["--no-deps", "--no-build-isolation"],
    ]
    assert "--only-binary :all:" in installs[0]


def test_it_is_built_from_what_it_needs_and_nothing_else():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    given = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert given == {"LICENSE", "README.md", "pyproject.toml", "requirements.lock", "src"}
    assert all((ROOT / name).exists() for name in given)


def test_what_it_runs_is_a_command_line_of_ours():
    command = json.loads(last("CMD"))
    assert f"--data={last('VOLUME')}" in command
    assert any(option.endswith(f":{last('EXPOSE')}") for option in command)
    parsed = [sys.executable, "-m", "keystead", *command, "--help"]
    subprocess.run(parsed, check=True, stdout=subprocess.DEVNULL)
