"""Completion: the scripts, and names from the HSM."""

import os
import shutil
import subprocess
import sys

import pytest

from keystead.cli.completion import SHELLS

LIST_SEPARATOR = "\v"


def completed(line: str, at_home, **environment: str) -> list[str]:
    """What the shells' scripts are told for the line of a command."""
    answer = at_home / "answer"
    reads = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "IFS": LIST_SEPARATOR}
    asks = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    subprocess.run(
        [sys.executable, "-m", "keystead"],
        env={**os.environ, **reads, **asks, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    return [one.strip() for one in answer.read_text().split(LIST_SEPARATOR) if one]


def test_tab_completes_commands_and_options(at_home):
    assert set(completed("keystead key", at_home)) == {"keys"}
    assert {"generate", "get"} & set(completed("keystead keys ge", at_home)) == {"generate"}
    assert "--common-name" in completed("keystead keys csr k --com", at_home)


def test_tab_completes_the_ids_of_keys_and_users(hsm, keystead, at_home):
    keystead("keys", "generate", "completed", "--type", "EC_P256")
    known = {"KEYSTEAD_USER": "admin", "KEYSTEAD_PASSPHRASE": hsm.passphrases["admin"]}
    assert completed("keystead keys show comp", at_home, **known) == ["completed"]
    assert completed("keystead users show sig", at_home, **known) == ["signer"]


def test_tab_asks_for_nothing_and_shows_no_error_without_a_passphrase(keystead, at_home):
    assert keystead("keys", "list").status == 0
    assert completed("keystead keys show comp", at_home) == []
    assert completed("keystead keys show comp", at_home, KEYSTEAD_HOST="127.0.0.1:1") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_its_script(command, shell, tmp_path):
    ran = command("completion", shell)
    assert "keystead" in ran.out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(ran.out)
    checked = subprocess.run([shell, "-n", script], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
