"""A person at a terminal: from an empty HSM to a restored backup, typed into a pseudo-terminal."""

import re

import pytest

from tests.support.server import running_server
from tests.support.terminal import Terminal


@pytest.fixture
def servers(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with running_server(tmp_path / "first") as first, running_server(tmp_path / "second") as second:
        yield first, second


def test_a_person_provisions_signs_backs_up_and_restores(servers, tmp_path):
    first, second = servers
    terminal = Terminal(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    (tmp_path / "message").write_text("hello\n")

    def run(line, *dialogue):
        return terminal.run(line.split(), *dialogue)

    run(f"profile add work --host {first.host}:{first.port} --user admin")
    shown = run(
        "provision",
        ("yes/no/fingerprint", f"sha256:{first.fingerprint}"),
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
        run(f"users add {name} --role {role}", admin, *new)
    run("keys generate first --type EC_P256", admin)
    assert "first" in run("keys list", admin)
    signer = ("Passphrase of signer:", "the signer phrase")
    run("keys sign first message -o message.sig --user signer", signer)
    assert "valid" in run("keys verify first message.sig message", admin)
    run(
        "config backup-passphrase",
        admin,
        ("none yet):", ""),
        ("New backup passphrase:", "my backup phrase"),
        ("again:", "my backup phrase"),
    )
    run("backup -o nightly.backup --user keeper", ("keeper:", "the keeper phrase"))
    shown = run(
        "backup verify nightly.backup --unlock",
        ("Backup passphrase:", "my backup phrase"),
        ("Unlock passphrase:", "my unlock phrase"),
    )
    assert re.search(r"keys\s+first", shown)
    assert "it can be restored" in shown

    there = f"--host {second.host}:{second.port}"
    run(
        f"restore nightly.backup {there}",
        ("yes/no/fingerprint", "yes"),
        ("Backup passphrase:", "my backup phrase"),
    )
    second.wait_ready()
    # It shows the certificate of the first one now.
    run(f"profile forget {second.host}:{second.port}")
    shown = run(
        f"unlock {there}",
        ("yes/no/fingerprint", "yes"),
        ("Unlock passphrase:", "my unlock phrase"),
    )
    assert first.fingerprint in shown
    shown = run(f"keys list {there} --user admin", admin)
    assert "first" in shown


def test_a_typed_passphrase_that_differs_changes_nothing(servers, tmp_path):
    first, _ = servers
    terminal = Terminal(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    where = f"--host {first.host}:{first.port} --pin sha256:{first.fingerprint}"
    with pytest.raises(AssertionError, match="The two are not the same"):
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
