"""A person at a terminal: from an empty HSM to a restored backup, typed into a pseudo-terminal."""

import re
from pathlib import Path

import pytest

from tests.support.server import running_server
from tests.support.terminal import Terminal

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = "".join((DOCS / page).read_text() for page in ("client.md", "runbooks.md"))


@pytest.fixture
def servers(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with running_server(tmp_path / "first") as first, running_server(tmp_path / "second") as second:
        yield first, second


class Person:
    """Types commands of the guide, with the address and the fingerprint of one server."""

    def __init__(self, terminal, server):
        self._terminal = terminal
        self._address = f"{server.host}:{server.port}"
        self._fingerprint = server.fingerprint

    def types(self, line, *dialogue):
        assert f"keystead {line}\n" in GUIDE or f"`keystead {line}`" in GUIDE
        for shown in ("localhost:8443", "HOST:PORT"):
            line = line.replace(shown, self._address)
        return self._terminal.run(line.replace("FINGERPRINT", self._fingerprint).split(), *dialogue)


def test_a_person_with_the_guide_provisions_signs_backs_up_and_restores(servers, tmp_path):
    first, second = servers
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    types = Person(Terminal(tmp_path, home), first).types
    (tmp_path / "message").write_text("hello\n")

    types("profile add work --host localhost:8443 --pin sha256:FINGERPRINT --user admin")
    shown = types(
        "provision",
        ("New unlock passphrase:", "my unlock phrase"),
        ("again:", "my unlock phrase"),
        ("user admin:", "my admin phrase"),
        ("again:", "my admin phrase"),
    )
    assert "my unlock phrase" not in shown
    assert "Operational" in shown
    admin = ("Passphrase of admin:", "my admin phrase")
    for name, role in (("signer", "Operator"), ("keeper", "Backup")):
        new = (("new user:", f"the {name} phrase"), ("again:", f"the {name} phrase"))
        types(f"users add {name} --role {role}", admin, *new)
    types("keys generate first --type EC_P256", admin)
    assert "first" in types("keys list --long", admin)
    signer = ("Passphrase of signer:", "the signer phrase")
    types("keys sign first message -o message.sig --user signer", signer)
    assert "valid" in types("keys verify first message.sig message", admin)
    types(
        "config backup-passphrase",
        admin,
        ("none yet):", ""),
        ("New backup passphrase:", "my backup phrase"),
        ("again:", "my backup phrase"),
    )
    types("backup -o nightly.backup --user keeper", ("keeper:", "the keeper phrase"))
    shown = types("backup verify nightly.backup", ("Backup passphrase:", "my backup phrase"))
    assert re.search(r"keys\s+first", shown)

    where = {"KEYSTEAD_HOST": f"{second.host}:{second.port}", "KEYSTEAD_USER": "admin"}
    types = Person(Terminal(tmp_path, home | where), second).types
    types(
        "restore nightly.backup",
        ("yes/no/fingerprint", f"sha256:{second.fingerprint}"),
        ("Backup passphrase:", "my backup phrase"),
    )
    second.wait_ready()
    # It shows the certificate of the first one now.
    types("profile forget HOST:PORT")
    shown = types(
        "unlock", ("yes/no/fingerprint", "yes"), ("Unlock passphrase:", "my unlock phrase")
    )
    assert first.fingerprint in shown
    assert "first" in types("keys list --long", admin)


def test_a_typed_passphrase_that_differs_changes_nothing(servers, tmp_path):
    first, _ = servers
    terminal = Terminal(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    where = f"--host {first.host}:{first.port} --pin sha256:{first.fingerprint}"
    with pytest.raises(AssertionError, match="The two passphrases are not the same"):
        terminal.run(
            f"provision {where}".split(),
            ("New unlock passphrase:", "my unlock phrase"),
            ("again:", "another unlock phrase"),
        )
    assert first.state() == "Unprovisioned"


def test_no_to_an_unknown_certificate_connects_to_nothing(servers, tmp_path):
    first, _ = servers
    terminal = Terminal(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    with pytest.raises(AssertionError, match="was not trusted"):
        terminal.run(["status", "--host", f"{first.host}:{first.port}"], ("yes/no", "no"))
    assert not (tmp_path / "config").exists()
