"""Every command that a page shows is run, in the page's order, or its source says why it is not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.docs.pages import ROOT, Block, blocks, needs, pages, run_by
from tests.support.server import Server, running_server

NAVIGATION = (ROOT / "mkdocs.yml").read_text()
PASSPHRASE = "the same passphrase"
KINDS = ("", "UNLOCK_", "ADMIN_", "NEW_", "BACKUP_", "FILE_")
SECONDS = 300
BEGINNING = """set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
"""
PREPARED = """keystead profile add hsm --host localhost:8443 --pin sha256:FINGERPRINT --user admin
keystead provision
keystead users add signer --role Operator
keystead users add backup --role Backup
keystead users add metrics --role Metrics
"""
"""What goes before the commands of a page that does not provision the HSM itself."""
HOW_TO_MARK = """no test runs these commands. Make the block ```sh, and they are run against a
server (Operational, with the users admin, signer, backup, metrics). Or put a line before the block,
or before the heading above it, that says why they are not: <!-- not run: it needs a TPM -->"""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def to_be_run() -> list[Path]:
    return [
        page
        for page in pages()
        if run_by(page) is None and any(block.is_to_be_run for block in blocks(page))
    ]


def fail(page: Path, why: str) -> NoReturn:
    """Fail, or report it for a draft, which a page is until mkdocs.yml gives it a place."""
    is_draft = page.parent.name == "docs" and name_of(page) not in NAVIGATION
    (pytest.xfail if is_draft else pytest.fail)(f"{name_of(page)}: {why}")


def fitted(text: str, server: Server) -> str:
    """The text for this server, where everybody has one passphrase."""
    replaced = text.replace("localhost", server.host).replace("8443", str(server.port))
    replaced = replaced.replace('"PASSPHRASE"', f'"{PASSPHRASE}"')
    # The last: a fingerprint may have any digits.
    return replaced.replace("FINGERPRINT", server.fingerprint)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_command_shown_is_run_or_says_why_not(page: Path) -> None:
    test = run_by(page)
    assert test is None or test.exists(), f"{name_of(page)}: there is no {test}"

    def is_open(block: Block) -> bool:
        return block.shows_commands and not block.is_to_be_run and not block.reason

    if left := [str(block.line) for block in blocks(page) if is_open(block)]:
        fail(page, f"lines {', '.join(left)}: {HOW_TO_MARK}")


@pytest.mark.parametrize("page", to_be_run(), ids=name_of)
def test_the_commands_of_a_page_work_in_their_order(page: Path, tmp_path: Path) -> None:
    if missing := [tool for tool in needs(page) if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {missing}")
    lines = "".join(block.text for block in blocks(page) if block.is_to_be_run)
    directories = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = os.environ | {
        "PATH": os.pathsep.join(directories),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "KEYSTEAD_CURRENT_PASSPHRASE": "",  # There is no backup passphrase before a page sets one.
        **{f"KEYSTEAD_{kind}PASSPHRASE": PASSPHRASE for kind in KINDS},
    }
    (tmp_path / "server").mkdir()
    if "keystead provision" not in lines:
        lines = PREPARED + lines
    with running_server(tmp_path / "server") as server:
        script = tmp_path / "commands.sh"
        script.write_text(BEGINNING + fitted(lines, server))
        ran = subprocess.run(  # noqa: S603 - what our page shows
            ["/bin/bash", script],
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if ran.returncode != 0:
            fail(page, ran.stdout + ran.stderr)
        for block in blocks(page):
            if block.language == "python" and not block.reason:
                program = fitted(block.text, server)
                subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - as above
