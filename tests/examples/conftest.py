"""Each example, as its README tells: the shell blocks run in their order against a real server."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.docs.pages import needs
from tests.support.daemons import free_port
from tests.support.server import Server, running_server

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MODULE = ROOT / "pkcs11/target/release/libkeystead_pkcs11.so"
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


def commands_of(example: str) -> str:
    readme = (EXAMPLES / example / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert blocks
    return "".join(blocks)


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

    def run(example: str, more: str = "", *, wrapper: Sequence[str] = (), **extra: str) -> Ran:
        script = tmp_path / "commands.sh"
        script.write_text(BEGINNING + profile + commands_of(example) + more)
        ran = subprocess.run(
            [*wrapper, "/bin/bash", script],
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


@pytest.fixture
def with_module(hsm: Server, follow: Follow) -> Follow:
    """Runs a README of a program that loads the PKCS#11 module, after that of their set-up."""
    if not MODULE.exists():
        pytest.skip("the PKCS#11 module is not built: `make pkcs11` needs cargo")

    def run(example: str, more: str = "", *, wrapper: Sequence[str] = (), **extra: str) -> Ran:
        for tool in needs(EXAMPLES / example / "README.md"):
            need(tool)
        where = {"MODULE": str(MODULE), "HSM": hsm.url, "FINGERPRINT": hsm.fingerprint}
        lines = commands_of(example) + more
        where |= {"ROOT": str(ROOT), "PORT": str(free_port())}
        return follow("pkcs11", lines, wrapper=wrapper, **where, **extra)

    return run


def need(tool: str) -> None:
    """Skip the test where this command, a server's too, or this file is not installed."""
    if not Path(tool).is_file() and not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip(f"{tool} is not installed")


@pytest.fixture
def heavy() -> None:
    """Skips a test of a program that is large to install or slow to run, but in `make apps`."""
    if not os.environ.get("KEYSTEAD_APPS"):
        pytest.skip("`make apps` runs it")


@pytest.fixture
def as_user() -> Sequence[str]:
    """A command that runs another as somebody who is not root: p11-kit has files of users alone."""
    if os.getuid() != 0:
        return ()
    command = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this machine allows no user namespaces")
    return command
