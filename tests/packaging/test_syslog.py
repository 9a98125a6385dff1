"""rsyslog and syslog-ng, each at the end of our syslog over TLS."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.authority import Authority
from tests.support.daemons import free_port, running
from tests.support.server import running_server, wait_until
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


@pytest.mark.parametrize("receiver", [rsyslog(), syslog_ng()], ids=lambda one: one.name)
def test_another_program_takes_our_syslog_over_tls(receiver, tmp_path):
    if receiver.missing:
        pytest.skip(receiver.missing)
    authority, port = Authority("logs"), free_port()
    (tmp_path / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    write_server_identity(tmp_path, authority, "localhost")
    (tmp_path / "settings").write_text(receiver.settings.format(folder=tmp_path, port=port))
    received, log = tmp_path / "received", tmp_path / "receiver.log"
    config = f'[syslog]\ntls = "localhost:{port}"\nca = "ca.pem"\n'
    with (
        running(*receiver.command(tmp_path), log=log, environment=receiver.environment),
        running_server(tmp_path, config=config) as server,
    ):
        server.provision()
        wrong = server.request("GET", "/users", user="admin", passphrase="not the passphrase")
        assert wrong.status == 401
        wait_until(
            lambda: received.exists() and "authentication failed" in received.read_text(),
            seconds=SECONDS,
            what=lambda: log.read_text() + server.log(),
        )
    assert re.search(r'^keystead .*sequenceId="\d+"', received.read_text(), re.MULTILINE)
