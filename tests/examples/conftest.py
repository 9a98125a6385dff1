"""Each example, as its README tells: the shell blocks run in their order against a real server."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, running_server

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PASSPHRASE = "the same passphrase"
BEGINNING = """set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
"""

Ran = subprocess.CompletedProcess[str]
Follow = Callable[..., Ran]


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Operational server with the users admin and signer, as the examples have it."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        server.passphrases["admin"] = PASSPHRASE
        server.provision()
        user = {"realName": "Signer", "role": "Operator", "passphrase": PASSPHRASE}
        answer = server.request("PUT", "/users/signer", user="admin", json=user)
        assert answer.status == 201, answer
        yield server


@pytest.fixture
def locked() -> Callable[[str], None]:
    """Makes the environment that a lock pins, for an example; skips the test where it cannot be."""

    def add(name: str) -> None:
        command = [ROOT / "scripts" / "add-locked", sys.executable, ROOT / ".examples", name]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            pytest.skip(f"what requirements-{name}.lock pins cannot be had: {ran.stderr[-500:]}")

    return add


@pytest.fixture
def follow(hsm: Server, tmp_path: Path) -> Follow:
    """Runs the README of an example in `tmp_path`, and more lines after it."""
    directories = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(directories),
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "KEYSTEAD_PASSPHRASE": PASSPHRASE,
        "KEYSTEAD_USER": "signer",
    }
    profile = f"keystead profile add hsm --host {hsm.host}:{hsm.port} --pin {hsm.fingerprint}\n"

    def run(example: str, more: str = "", **extra: str) -> Ran:
        readme = (EXAMPLES / example / "README.md").read_text()
        blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
        assert blocks
        script = tmp_path / "commands.sh"
        script.write_text(BEGINNING + profile + "".join(blocks) + more)
        ran = subprocess.run(
            ["/bin/bash", script],
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env=environment | extra,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran

    return run
