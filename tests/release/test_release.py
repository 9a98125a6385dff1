"""What `make release` builds: the same bytes for everyone, and the source, whole."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from keystead import __version__

SDIST = f"keystead-{__version__}.tar.gz"
WHEEL = f"keystead-{__version__}-py3-none-any.whl"


def test_one_commit_gives_the_same_bytes_wherever_it_is_built(built, built_elsewhere):
    assert set(built) == {SDIST, WHEEL, f"keystead-{__version__}.cdx.json", "SHA256SUMS"}
    assert built == built_elsewhere


def test_the_sums_are_of_everything_else(built):
    sums = dict(reversed(line.split("  ")) for line in built["SHA256SUMS"].decode().splitlines())
    assert sums == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in built.items()
        if name != "SHA256SUMS"
    }


def test_the_sdist_is_the_git_tree(clone, built):
    tracked = subprocess.run(
        ["git", "-C", clone, "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout.split("\0")
    with tarfile.open(fileobj=io.BytesIO(built[SDIST])) as archive:
        found = {
            member.name.partition("/")[2]: archive.extractfile(member).read()
            for member in archive.getmembers()
        }
    del found["PKG-INFO"]
    assert found == {name: (clone / name).read_bytes() for name in tracked if name}


def test_the_wheel_from_the_sdist_is_the_wheel_from_git(clone, built, tmp_path):
    code = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        cwd=clone,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
    )
    assert (tmp_path / WHEEL).read_bytes() == built[WHEEL]


def test_what_is_not_committed_is_left_out_and_said(clone, built):
    stray = clone / "src/keystead/__init__.py"
    committed = stray.read_bytes()
    stray.write_bytes(committed + b"# not committed\n")
    out = clone.parent / "out"
    try:
        said = subprocess.run(
            [clone / "scripts/release", sys.executable, out],
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        stray.write_bytes(committed)
    assert "not committed" in said.stderr
    assert (out / WHEEL).read_bytes() == built[WHEEL]


def test_it_is_installed_as_the_page_says_with_the_tested_packages_alone(built, tmp_path):
    for name in (SDIST, WHEEL):
        (tmp_path / name).write_bytes(built[name])
    page = (Path(__file__).parents[2] / "docs/releases.md").read_text()
    commands = page.partition("## Install it")[2].partition("    ")[2].partition("\n\n")[0]
    script = commands.replace("VERSION", __version__).replace("/opt/keystead", "./venv")
    ended = subprocess.run(
        ["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "No matching distribution" in ended.stderr:
        pytest.skip("no package index within reach")
    assert ended.returncode == 0, ended.stderr
    assert f"Keystead {__version__}, " in ended.stdout
    frozen = subprocess.run(
        [tmp_path / "venv/bin/pip", "freeze"], check=True, capture_output=True, text=True
    ).stdout
    lock = (Path(__file__).parents[2] / "requirements.lock").read_text()
    pins = {line.split(" ")[0] for line in lock.splitlines() if "==" in line}
    found = {line.replace("_", "-").lower() for line in frozen.splitlines() if "==" in line}
    assert found <= pins


def test_an_audit_without_an_answer_is_no_clean_audit():
    script = Path(__file__).parents[2] / "scripts/audit"
    nobody = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [script, Path(sys.executable).with_name("pip-audit")],
        env=os.environ | nobody,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "NOT DONE" in ended.stderr
