"""A release of the tree as it is, built twice, each time in another place and manner."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_COPIED = (".git", ".venv", ".clients", ".*_cache", ".hypothesis", "__pycache__", "data", "dist")
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "Releaser"),
        ("EMAIL", "releaser@example.org"),
        ("DATE", "1700000000 +0000"),
    )
}


def git(folder, *command):
    subprocess.run(["git", "-C", folder, *command], check=True, env=os.environ | IDENTITY)


def release(clone, **environment):
    """Build a release and return what was built, by name."""
    subprocess.run(
        [clone / "scripts/release", sys.executable, clone / "dist"],
        check=True,
        env=os.environ | environment,
    )
    return {file.name: file.read_bytes() for file in (clone / "dist").iterdir()}


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """A clone with one commit: the tree as it is now."""
    folder = tmp_path_factory.mktemp("release") / "one"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=all of it")
    return folder


@pytest.fixture(scope="session")
def built(clone):
    return release(clone, PYTHONHASHSEED="1")


@pytest.fixture(scope="session")
def built_elsewhere(clone):
    """The same commit, with all that must not matter being otherwise."""
    other = clone.parent / "somewhere else" / "a much longer name"
    before = os.umask(0o077)
    try:
        git(clone, "clone", "--quiet", str(clone), str(other))
        for file in other.rglob("*"):
            os.utime(file, (1_000_000_000, 1_000_000_000))
        return release(other, TZ="Asia/Kathmandu", LC_ALL="POSIX", PYTHONHASHSEED="2")
    finally:
        os.umask(before)
