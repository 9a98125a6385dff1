"""rsyslog and syslog-ng, each at the end of our syslog over TLS, and what they show."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.__main__ import main
from tests.support.authority import Authority
from tests.support.daemons import free_port, running
from tests.support.server import Server, running_server, wait_until
from tests.support.syslog_receiver import write_server_identity

SECONDS = 60
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keystead"

RSYSLOG = """
global(workDirectory="{folder}" defaultNetstreamDriver="ossl"
       defaultNetstreamDriverCAFile="{folder}/ca.pem"
       defaultNetstreamDriverCertFile="{folder}/certificate.pem"
       defaultNetstreamDriverKeyFile="{folder}/key.pem")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="fields" type="string" string="%app-name% %procid% %structured-data% %msg%\\n")
action(type="omfile" file="{folder}/received" template="fields")
"""
SYSLOG_NG = """@version: current
source hsm {{ syslog(ip("127.0.0.1") port({port}) transport("tls") tls(
    cert-file("{folder}/certificate.pem") key-file("{folder}/key.pem")
    peer-verify(optional-untrusted))); }};
destination file {{ file("{folder}/received"
    template("$PROGRAM $PID [sequenceId=\\"${{.SDATA.meta.sequenceId}}\\"] $MESSAGE\\n")); }};
log {{ source(hsm); destination(file); }};
"""


class Receiving(NamedTuple):
    """A receiver that runs."""

    received: Path
    log: Path
    config: str
    """What has a server send to it."""

    def text(self) -> str:
        return self.received.read_text() if self.received.exists() else ""

    def wait_for(self, text: str, server: Server) -> None:
        wait_until(
            lambda: text in self.text(),
            seconds=SECONDS,
            what=lambda: self.log.read_text() + server.log(),
        )


class Receiver(NamedTuple):
    """Another program, or why it is not here; `command` is given the folder of its settings."""

    name: str
    settings: str
    missing: str
    command: Callable[[Path], tuple[str | Path, ...]]
    environment: dict[str, str]


def rsyslog() -> Receiver:
    has_tls = any(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so"))
    here = shutil.which("rsyslogd") and has_tls
    return Receiver(
        "rsyslog",
        RSYSLOG,
        "" if here else "rsyslog or rsyslog-openssl is not installed",
        lambda folder: ("rsyslogd", "-n", "-f", folder / "settings", "-i", folder / "pid"),
        {},
    )


def syslog_ng() -> Receiver:
    """Find the program that scripts/add-syslog-ng unpacked."""
    root = CACHE / "syslog-ng"
    modules = next(iter(root.glob("usr/lib/syslog-ng/*/")), root)
    libraries = [modules, *root.glob("usr/lib/*-linux-gnu"), modules.parent]
    return Receiver(
        "syslog-ng",
        SYSLOG_NG,
        "" if (root / "usr/sbin/syslog-ng").exists() else "add-syslog-ng has not unpacked it",
        lambda folder: (
            *(root / "usr/sbin/syslog-ng", "--foreground", "--no-caps", "--stderr"),
            *("--module-path", modules, "--cfgfile", folder / "settings"),
            *("--persist-file", folder / "persist", "--pidfile", folder / "pid"),
            *("--control", folder / "control"),
        ),
        {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))},
    )


@contextlib.contextmanager
def receiving(receiver: Receiver, folder: Path) -> Iterator[Receiving]:
    """Run a receiver that keeps what it gets in a file."""
    if receiver.missing:
        pytest.skip(receiver.missing)
    authority, port = Authority("logs"), free_port()
    (folder / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    write_server_identity(folder, authority, "localhost")
    (folder / "settings").write_text(receiver.settings.format(folder=folder, port=port))
    log = folder / "receiver.log"
    config = f'[syslog]\ntls = "localhost:{port}"\nca = "ca.pem"\n'
    with running(*receiver.command(folder), log=log, environment=receiver.environment):
        yield Receiving(folder / "received", log, config)


@pytest.mark.parametrize("receiver", [rsyslog(), syslog_ng()], ids=lambda one: one.name)
def test_another_program_takes_our_syslog_over_tls(receiver, tmp_path):
    with (
        receiving(receiver, tmp_path) as there,
        running_server(tmp_path, config=there.config) as server,
    ):
        server.provision()
        wrong = server.request("GET", "/users", user="admin", passphrase="not the passphrase")
        assert wrong.status == 401
        there.wait_for("authentication failed", server)
    assert re.search(r'^keystead .*sequenceId="\d+"', there.text(), re.MULTILINE)


def exported(server: Server, folder: Path) -> None:
    """Write what `keystead journal show` and `key` would."""
    for name, path in (("journal", "/journal"), ("key.pem", "/journal/key.pem")):
        (folder / name).write_bytes(server.request("GET", path, user="admin").body)


def is_verified(folder: Path, checkpoint: str) -> bool:
    """Whether the export fits a checkpoint that syslog received."""
    named = ("--key", str(folder / "key.pem"), "--checkpoint", checkpoint)
    status = main(["journal", "verify", str(folder / "journal"), *named])
    assert status in {0, 1}
    return status == 0


def last_checkpoint(server: Server, there: Receiving) -> str:
    """Have the journal signed. Return the checkpoint as the receiver has it, when it has it."""
    head = server.request("GET", "/journal/head", user="admin").json()
    there.wait_for(head["chain"], server)
    (line,) = (line for line in there.text().splitlines() if head["chain"] in line)
    found = re.search(r"journal checkpoint.*entry\W+(\d+)\W+chain\W+([0-9a-f]{64})", line)
    assert found is not None, line
    return f"{found[1]}:{found[2]}"


def test_a_machine_that_was_set_back_does_not_fit_the_checkpoint_that_rsyslog_received(
    tmp_path, capsys
):
    with receiving(rsyslog(), tmp_path) as there:
        given = {"directory": tmp_path, "config": there.config}
        with running_server(**given) as server:
            server.provision()
            server.add_user("leaver", "Operator")
            before = last_checkpoint(server, there)
            server.stop()
        shutil.copytree(server.data, tmp_path / "old")
        with running_server(**given) as server:
            server.unlock()
            assert server.request("DELETE", "/users/leaver", user="admin").status == 204
            after = last_checkpoint(server, there)
            exported(server, tmp_path)
            assert is_verified(tmp_path, before)
            assert is_verified(tmp_path, after)
            server.stop()
        shutil.rmtree(server.data)
        shutil.copytree(tmp_path / "old", server.data)
        with running_server(**given) as server:
            server.unlock()
            assert server.request("GET", "/users/leaver", user="admin").status == 200
            exported(server, tmp_path)
            assert is_verified(tmp_path, before)
            assert not is_verified(tmp_path, after)
            # It goes on, until it has as many entries.
            for number in range(5):
                server.add_user(f"new{number}", "Operator")
            capsys.readouterr()
            exported(server, tmp_path)
            assert not is_verified(tmp_path, after)
            assert "this is another history" in capsys.readouterr().out
