"""The command line in this process, against a real server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keystead.__main__ import main
from keystead.cli import connection
from tests.support.server import ANSWER_SECONDS, Server, running_server

ADMIN = "adminPassphrase"


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Keystead = Callable[..., Ran]


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Operational server with the users admin, signer, metrics and backup, for a module."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        server.provision()
        for name, role in (("signer", "Operator"), ("metrics", "Metrics"), ("backup", "Backup")):
            server.add_user(name, role)
        yield server


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without settings, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("HOST", "USER", "PROFILE", "PASSPHRASE"):
        monkeypatch.delenv(f"KEYSTEAD_{name}", raising=False)
    return tmp_path


@pytest.fixture
def command(
    at_home: Path,  # noqa: ARG001 - where it runs
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Keystead:
    """`keystead` without an HSM in its settings; the keywords are the environment."""

    def run(*arguments: object, **environment: str) -> Ran:
        with monkeypatch.context() as patch:
            patch.setattr(connection, "DEFAULT_TIMEOUT_SECONDS", ANSWER_SECONDS)
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                status = main([str(one) for one in arguments])
            except SystemExit as end:
                status = end.code
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture
def keystead(hsm: Server, command: Keystead) -> Keystead:
    """`keystead` as admin, with a profile for the module's server; `user=` is another one."""
    assert command("profile", "add", "test", *trusted(hsm)).status == 0

    def run(*arguments: object, user: str = "admin", **environment: str) -> Ran:
        credentials = {"KEYSTEAD_USER": user, "KEYSTEAD_PASSPHRASE": hsm.passphrases[user]}
        return command(*arguments, **credentials, **environment)

    return run


def trusted(server: Server) -> tuple[str, ...]:
    """The options for a server whose certificate is known."""
    return ("--host", f"{server.host}:{server.port}", "--pin", f"sha256:{server.fingerprint}")
