"""docs/client.md: every command that it shows works, in its order; every exit status is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from keystead.__main__ import COMMANDS
from keystead.cli.exit_status import ExitStatus
from tests.support.server import running_server

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
PASSPHRASE = "the same passphrase"
KINDS = ("", "UNLOCK_", "ADMIN_", "NEW_", "BACKUP_")
NO_HSM_COMMAND = {"serve", "doctor", "image", "device-key", "selftest"}
BEGINNING = """set -euo pipefail
keystead() { "$PYTHON" -m keystead "$@"; }
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def fitted(text, server):
    """The text for this server, where everybody has one passphrase."""
    replaced = text.replace("FINGERPRINT", server.fingerprint).replace("PASSPHRASE", PASSPHRASE)
    return replaced.replace("localhost", server.host).replace("8443", str(server.port))


def test_every_command_of_the_page_works_in_its_order(tmp_path):
    (tmp_path / "server").mkdir()
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "PYTHON": sys.executable}
    passphrases = {f"KEYSTEAD_{kind}PASSPHRASE": PASSPHRASE for kind in KINDS}
    # There is no backup passphrase before the page sets one.
    environment = {**os.environ, **home, **passphrases, "KEYSTEAD_CURRENT_PASSPHRASE": ""}
    with running_server(tmp_path / "server") as server:
        ran = subprocess.run(
            ["/bin/bash"],
            input=BEGINNING + fitted("".join(blocks("sh")), server),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        shown = b""
        for program in blocks("python"):
            command = [sys.executable, "-c", fitted(program, server)]
            shown += subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603 - as above
    assert re.fullmatch(rb"Operational 30[0-9a-f]+\nTrue\n", shown)


def test_every_exit_status_is_on_the_page():
    rows = {int(number) for number in re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE)}
    assert rows == set(ExitStatus)


def test_every_command_for_an_hsm_is_on_the_page():
    for command in COMMANDS:
        assert (
            command.name in NO_HSM_COMMAND
            or f"`{command.name}" in PAGE
            or (f"keystead {command.name}" in PAGE)
        ), command.name
