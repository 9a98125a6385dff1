"""How fast the client starts, beside nitropy, in one run: the ratio, not the times."""

import os
import statistics
import subprocess
import sys
import time

import pytest

from tests.support.server import running_server

RUNS = 7
TIMES_FASTER = 3


def median_seconds(command, environment):
    """The median time of a command that has to succeed."""
    seconds = []
    for _ in range(RUNS):
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def test_keys_are_listed_several_times_as_fast_as_by_nitropy(clients, tmp_path):
    nitropy = clients / "nitropy/bin/nitropy"
    if not nitropy.exists():
        pytest.skip("nitropy could not be fetched")
    with running_server(tmp_path) as server:
        server.provision()
        address, passphrase = f"{server.host}:{server.port}", server.passphrases["admin"]
        environment = {**os.environ, "HOME": str(tmp_path), "KEYSTEAD_PASSPHRASE": passphrase}
        where = ("--host", address, "--pin", f"sha256:{server.fingerprint}", "--user", "admin")
        ours = [sys.executable, "-m", "keystead", "keys", "list", *where]
        login = ("--host", address, "--no-verify-tls", "-u", "admin", "-p", passphrase)
        theirs = [nitropy, "nethsm", *login, "list-keys"]
        times = {name: median_seconds(command, environment) for name, command in
                 {"keystead": ours, "nitropy": theirs}.items()}  # fmt: skip
    print({name: f"{1000 * seconds:.0f} ms" for name, seconds in times.items()})  # noqa: T201 - for `make clients`
    assert times["nitropy"] > TIMES_FASTER * times["keystead"]
