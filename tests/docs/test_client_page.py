"""docs/client.md: every exit status and every command is there; `test_pages` runs its commands."""

import re
from pathlib import Path

from keystead.__main__ import COMMANDS
from keystead.cli.exit_status import ExitStatus

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
NO_HSM_COMMAND = {"cluster", "serve", "doctor", "image", "device-key", "selftest"}


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
