"""A person at a terminal: from an empty HSM to a restored backup, typed into a pseudo-terminal."""

import os
import pty
import re
import select
import signal
import sys
import time

import pytest

from tests.support.server import running_server

PATIENCE_SECONDS = 60


class Terminal:
    """A pseudo-terminal in which commands run, one after the other."""

    def __init__(self, directory, environment):
        self._directory = directory
        self._environment = {**os.environ, "TERM": "xterm", **environment}
        self._pid = self._descriptor = 0
        self.seen = ""

    def run(self, command, *dialogue):
        """Type `command` and answer each question in turn; return all that was shown.

        `dialogue` is pairs of what is waited for and what is then typed.
        """
        self.seen = ""
        self._pid, self._descriptor = pty.fork()
        if not self._pid:
            os.chdir(self._directory)
            arguments = [sys.executable, "-m", "keystead", *command.split()]
            os.execve(sys.executable, arguments, self._environment)  # noqa: S606
        for question, answer in dialogue:
            self._wait_for(question)
            os.write(self._descriptor, f"{answer}\n".encode())
        self._wait_for(None)
        _, ended = os.waitpid(self._pid, 0)
        os.close(self._descriptor)
        assert os.waitstatus_to_exitcode(ended) == 0, self.seen
        return self.seen

    def _wait_for(self, text):
        """Read until `text` is shown after what was seen before, or to the end."""
        begin, give_up = len(self.seen), time.monotonic() + PATIENCE_SECONDS
        while text is None or text not in self.seen[begin:]:
            assert time.monotonic() < give_up, self._stop(f"{text} did not come")
            if not select.select([self._descriptor], [], [], 0.1)[0]:
                continue
            try:
                read = os.read(self._descriptor, 4096).decode(errors="replace")
            except OSError:  # The other end is closed.
                read = ""
            if not read:
                assert text is None, self._stop(f"{text} did not come")
                return
            self.seen += read

    def _stop(self, reason):
        os.kill(self._pid, signal.SIGKILL)
        return f"{reason}:\n{self.seen}"


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
    run = terminal.run

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
            f"provision {where}",
            ("New unlock passphrase:", "my unlock phrase"),
            ("again:", "another unlock phrase"),
        )
    assert first.state() == "Unprovisioned"


def test_no_to_an_unknown_certificate_connects_to_nothing(servers, tmp_path):
    first, _ = servers
    terminal = Terminal(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    with pytest.raises(AssertionError, match="was not trusted"):
        terminal.run(f"status --host {first.host}:{first.port}", ("yes/no", "no"))
    assert not (tmp_path / "config").exists()
