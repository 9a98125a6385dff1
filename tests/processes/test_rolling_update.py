"""An update of a cluster: one HSM after the other is stopped and started, under clients."""

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.test_cluster_of_one import cluster, keys, new_key
from tests.processes.test_members import (
    SIGNATURES,
    added,
    founded,
    made,
    peer_url,
    provisioned,
    settings,
    signing,
    trust,
)
from tests.processes.test_serve import ended_with
from tests.support.authority import Authority
from tests.support.etcd import CONTROL, needs_etcd, programs
from tests.support.server import Server, running_server, wait_until

pytestmark = needs_etcd

ALL_PATHS = ("get", "--prefix", "", "--keys-only")
LAYOUT = "/config/version"
OLD, BETWEEN, NEW = "", "3.5.35", "3.6.16"
"""The etcd of Debian 13, and those that scripts/build-etcd builds."""


def test_no_signature_fails_while_one_hsm_after_the_other_is_started_again(place):
    authority = Authority("cluster")
    with ExitStack() as stack:
        servers = [founded(place, stack, "one")]
        trust(servers[0], authority)
        for name in ("two", "three"):
            servers.append(provisioned(place, name, stack))
            trust(servers[-1], authority)
            added(servers[0], servers[-1])
        with signing(servers) as signatures:
            for number, name in enumerate(("one", "two", "three")):
                assert servers[number].stop() == 0
                goes_on(signatures)
                servers[number] = started_again(servers[number], place / name, stack)
                new_key(servers[number], name)
        for server in servers:
            wait_for_keys(server, ["before", "one", "three", "two"])


@pytest.mark.skipif(
    not all((programs(version) / "etcd").is_file() for version in (OLD, BETWEEN, NEW)),
    reason="not all versions of etcd are here: make etcd-builds",
)
def test_no_signature_fails_on_the_way_from_etcd_3_5_16_to_3_6(place):
    """Each HSM goes there by way of a newer 3.5: 3.6 refuses the records of 3.5.16, unharmed."""
    place, authority = made(place, "way"), Authority("cluster")
    versions = {version: made(place, f"etcd-{version}") for version in (BETWEEN, NEW)}
    for version, directory in {OLD: place, **versions}.items():
        shutil.copy(programs(version) / "etcd", directory)
    names = ("one", "two", "three")
    with ExitStack() as stack:
        servers = [founded(place, stack, "one")]
        trust(servers[0], authority)
        for name in names[1:]:
            servers.append(provisioned(place, name, stack))
            trust(servers[-1], authority)
            added(servers[0], servers[-1])
        with signing(servers) as signatures:
            assert servers[0].stop() == 0
            refused(place / "one", versions[NEW], "too many learner members in cluster")
            servers[0] = started_again(servers[0], place / "one", stack)
            for version, programs_of_version in versions.items():
                for number, name in enumerate(names):
                    assert servers[number].stop() == 0
                    goes_on(signatures)
                    servers[number] = started_again(
                        servers[number], place / name, stack, programs_of_version
                    )
                    assert f"{version}," in etcdctl(servers[number], "endpoint", "status")
                    new_key(servers[number], f"{name}-{version}")
            made_on_the_way = [f"{name}-{version}" for name in names for version in versions]
            for server in servers:
                wait_for_keys(server, sorted(["before", *made_on_the_way]))
        assert servers[0].stop() == 0
        refused(place / "one", versions[BETWEEN], "invalid downgrade")


def refused(directory: Path, etcd: Path, reason: str) -> None:
    """Start a stopped HSM with an etcd that does not start with its records."""
    with running_server(directory, config=settings(etcd)) as server:
        assert server.ready_state == "Failed"
        wait_until(lambda: reason in server.log(), seconds=60)


def goes_on(signatures: list[bytes]) -> None:
    signed = len(signatures)
    wait_until(lambda: len(signatures) > signed + SIGNATURES, seconds=120)


def started_again(
    old: Server, directory: Path, stack: ExitStack, etcd: Path | None = None
) -> Server:
    """Start a stopped HSM where its clients know it, and unlock it."""
    there, config = f"{old.host}:{old.port}", settings(etcd or directory.parent)
    started = running_server(directory, config=config, listen=there)
    server = stack.enter_context(started)
    server.passphrases |= old.passphrases
    server.unlock()
    wait_until(lambda: keys(server), seconds=120)
    return server


def wait_for_keys(server: Server, wanted: list[str]) -> None:
    wait_until(lambda: keys(server) == wanted, seconds=60)


def test_a_member_refuses_to_start_with_records_of_a_newer_format(place):
    with running_server(place, config=settings(place)) as server:
        server.provision()
    assert cluster(place, "init", f"--url={peer_url()}").returncode == 0
    with running_server(place, config=settings(place)):
        wait_until(lambda: etcdctl(server, *ALL_PATHS), seconds=60)
        (layout,) = (path for path in etcdctl(server, *ALL_PATHS) if path.endswith(LAYOUT))
        assert etcdctl(server, "put", layout, "2") == ["OK"]
    status, log = ended_with(place, config=settings(place))
    assert status == 1
    said = "keystead: The store has format version 2; this software reads up to 1."
    assert said in log.splitlines()


def etcdctl(server: Server, *arguments: str) -> list[str]:
    socket = f"--endpoints=unix://{server.data}/etcd/client.sock"
    return subprocess.run(  # noqa: S603
        [CONTROL, socket, *arguments], capture_output=True, text=True, check=False
    ).stdout.split()
