"""An HSM with its records in etcd: formed, used, broken and undone, with the real programs."""

import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from keystead.processes import sandbox
from keystead.processes.etcd.member import QUOTA_BYTES
from tests.support.etcd import needs_etcd
from tests.support.server import Server, running_server, start_server, wait_until

pytestmark = needs_etcd

URL = "https://127.0.0.1:2380"
KEY = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}


@pytest.fixture
def directory(place: Path) -> Path:
    """An empty directory for one HSM."""
    made = Path(tempfile.mkdtemp(dir=place))
    made.chmod(0o755)
    return made


@pytest.fixture(scope="module")
def formed(place: Path) -> Path:
    """The data directory of a stopped HSM that is a cluster of one, to be copied."""
    directory = Path(tempfile.mkdtemp(dir=place))
    directory.chmod(0o755)
    with running_server(directory, config=config(place)) as server:
        server.provision()
        new_key(server, "before")
    done = cluster(directory, "init", f"--url={URL}")
    assert done.returncode == 0, done.stderr
    assert "records are in etcd now" in done.stdout
    return directory / "data"


@pytest.fixture
def member(formed: Path, directory: Path) -> Path:
    """A directory with the data of an HSM that is a cluster of one."""
    subprocess.run(["cp", "--archive", formed, directory / "data"], check=True)  # noqa: S603, S607
    return directory


def config(place: Path) -> str:
    # A busy machine must have the time for a confirmation, so it may be old here.
    return f'[cluster]\netcd = "{place / "etcd"}"\nfreshness = 30.0\n'


def cluster(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    data, file = directory / "data", directory / "keystead.toml"
    where = [f"--config={file}", f"--data={data}"]
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "keystead", "cluster", *arguments, *where],
        capture_output=True,
        text=True,
        check=False,
    )


def new_key(server: Server, key_id: str) -> None:
    answer = server.request("POST", "/keys/generate", user="admin", json={**KEY, "id": key_id})
    assert answer.status == 201, answer


def keys(server: Server) -> list[str]:
    answer = server.request("GET", "/keys", user="admin")
    return sorted(one["id"] for one in answer.json()) if answer.status == 200 else []


def unlock(server: Server) -> None:
    """Unlock it, and wait until a majority has confirmed that it knows all changes."""
    server.unlock()
    listing = partial(server.request, "GET", "/keys", user="admin")
    wait_until(lambda: listing().status == 200, seconds=60)


def etcd_of(server: Server) -> int:
    """The process of the server's etcd, which has another command line than our processes."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for pid in children:
        with contextlib.suppress(OSError):
            if b"--data-dir=" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return 0


def test_the_records_move_into_etcd_and_back(place, member):
    with running_server(member, config=config(place)) as server:
        assert server.ready_state == "Locked"
        unlock(server)
        new_key(server, "meanwhile")
        assert keys(server) == ["before", "meanwhile"]
        diagnosis = server.request("GET", "/health/diagnose?details=true", user="admin").json()
        assert diagnosis["clusterDatabase"]["quota"] == QUOTA_BYTES
        status = Path(f"/proc/{etcd_of(server)}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status
        assert "Seccomp:\t2" in status
        user = sandbox.own_user("etcd") or os.geteuid()
        assert f"Uid:\t{user}\t{user}" in status

    again = cluster(member, "init", f"--url={URL}")
    assert again.returncode == 1
    assert "a member of a cluster already" in again.stderr

    left = cluster(member, "leave")
    assert left.returncode == 0, left.stderr
    assert not list((member / "data").glob("etcd*"))
    with running_server(member) as server:
        unlock(server)
        assert keys(server) == ["before", "meanwhile"]
        new_key(server, "after")


def test_an_etcd_that_is_killed_is_started_again_and_nothing_is_lost(place, member):
    with running_server(member, config=config(place)) as server:
        unlock(server)
        new_key(server, "one")
        killed = etcd_of(server)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: etcd_of(server) not in (0, killed), seconds=60)
        wait_until(lambda: keys(server) == ["before", "one"], seconds=60)
        new_key(server, "two")
        server.kill_all()
    with running_server(member, config=config(place)) as server:
        unlock(server)
        assert keys(server) == ["before", "one", "two"]


def test_a_member_answers_from_memory_while_a_majority_confirms_that_it_knows_all(place, member):
    with running_server(member, config=config(place)) as server:
        unlock(server)
        wait_until(lambda: keys(server) == ["before"], seconds=60)
        new_key(server, "one")
        assert keys(server) == ["before", "one"]
        assert server.request("GET", "/health/ready").status == 200


def test_a_member_whose_etcd_hangs_goes_on_signing_where_its_operator_allows_it(place, member):
    settings = config(place).replace("30.0", "5.0") + 'minority = "serve"\nminority_hours = 1\n'
    with running_server(member, config=settings) as server:
        unlock(server)
        wait_until(lambda: made_key(server, "used") in {201, 409}, seconds=60)
        server.add_user("op", "Operator")
        wait_until(lambda: sign(server) == 200, seconds=60)
        etcd = etcd_of(server)
        os.kill(etcd, signal.SIGSTOP)
        try:
            told = "answering without a majority"
            wait_until(lambda: told in server.log(), seconds=60)
            assert sign(server) == 200
            assert made_key(server, "later") == 503
            assert server.request("GET", "/health/ready").status == 200
        finally:
            os.kill(etcd, signal.SIGCONT)
        wait_until(lambda: made_key(server, "later") in {201, 409}, seconds=60)
        wait_until(lambda: f"no longer {told}" in server.log(), seconds=60)


def made_key(server: Server, key_id: str) -> int:
    wanted = {**KEY, "id": key_id}
    return server.request("POST", "/keys/generate", user="admin", json=wanted).status


def sign(server: Server) -> int:
    wanted = {"mode": "ECDSA", "message": base64.b64encode(bytes(32)).decode()}
    return server.request("POST", "/keys/used/sign", user="op", json=wanted).status


def test_without_its_etcd_a_member_does_not_start(member):
    server = start_server(member)
    assert server.process.wait(timeout=120) == 1
    assert "the configuration file must name the etcd" in server.log()


def test_a_member_says_that_its_own_etcd_does_not_run(member, place):
    # No sandboxed process may start the shell of a script.
    script = member / "etcd"
    script.write_text("#!/bin/sh\necho etcd Version: 3.5.16\n")
    script.chmod(0o755)
    with running_server(member, config=config(member)) as server:
        assert server.ready_state == "Failed"
        (log,) = server.request("GET", "/health/diagnose?details=true").json()["clusterLogs"]
        assert "The etcd of this HSM does not run." in log["msg"]
    with running_server(member, config=config(place)) as server:
        unlock(server)
        assert keys(server) == ["before"]


def test_a_factory_reset_takes_the_etcd_away(place, member):
    with running_server(member, config=config(place)) as server:
        unlock(server)
        assert server.request("POST", "/system/factory-reset", user="admin").status == 204
        server.wait_ready(times=2)
        assert server.ready_state == "Unprovisioned"
        assert not list((member / "data").glob("etcd*"))
