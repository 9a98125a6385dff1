"""Three real servers that become one cluster over mutual TLS, through the API that NetHSM has."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from keystead.client import Anyone, Client, Credentials, Endpoint
from tests.processes.test_cluster_of_one import cluster, keys, new_key
from tests.support.authority import Authority
from tests.support.daemons import free_port
from tests.support.etcd import needs_etcd
from tests.support.server import UNLOCK, Server, running_server, wait_until

pytestmark = needs_etcd

BACKUP = "backupPassphrase"
SIGNATURES = 20


def peer_url() -> str:
    return f"https://127.0.0.1:{free_port()}"


def made(place: Path, name: str) -> Path:
    directory = place / name
    directory.mkdir(mode=0o755)
    return directory


def settings(place: Path) -> str:
    # A busy machine must have the time for a confirmation.
    return f'[cluster]\netcd = "{place / "etcd"}"\nfreshness = 10.0\n'


def trust(server: Server, authority: Authority) -> None:
    """Give the server a certificate of the cluster's authority."""
    subject = {"commonName": "hsm", "subjectAltNames": ["IP:127.0.0.1"]}
    csr = server.request("POST", "/config/tls/csr.pem", user="admin", json=subject)
    assert csr.status == 200, csr
    for path, pem in (
        ("/config/tls/cert.pem", authority.sign(csr.body)),
        ("/config/tls/cluster-ca.pem", authority.pem),
    ):
        headers = {"Content-Type": "application/x-pem-file"}
        answer = server.request("PUT", path, user="admin", body=pem, headers=headers)
        assert answer.status == 201, answer


def members(server: Server) -> list[dict]:
    answer = server.request("GET", "/cluster/members", user="admin")
    assert answer.status == 200, answer
    return answer.json()


def declared(server: Server, url: str) -> dict:
    """Ask until it is declared: a member of which etcd has started again may be cut off."""
    wanted = {"urls": [url]}
    end = time.monotonic() + 240
    while (
        answer := server.request("POST", "/cluster/members", user="admin", json=wanted)
    ).status == 503:
        assert time.monotonic() < end, answer
        time.sleep(0.2)
    assert answer.status == 201, answer
    return answer.json()


def join(server: Server, kit: dict) -> int:
    wanted = {
        "members": [{"name": one["name"], "urls": one["urls"]} for one in kit["members"]],
        "joinerKit": kit["joinerKit"],
        "backupPassphrase": BACKUP,
    }
    answer = server.request("POST", "/cluster/join", user="admin", json=wanted, timeout_seconds=300)
    assert answer.status == 204, answer
    return answer.status


def promote(server: Server, kit: dict, joining: Future[int]) -> None:
    """Ask until the new member has all records, as operators of a NetHSM do.

    Raises what `joining` does: then there is nothing to wait for.
    """
    (new,) = (one for one in kit["members"] if not one["name"])
    path = f"/cluster/members/{new['id']}/promote"
    end = time.monotonic() + 240
    while (answer := server.request("POST", path, user="admin")).status != 204:
        assert answer.status in {412, 409, 503}, answer
        if joining.done():
            joining.result()
        assert time.monotonic() < end, answer
        time.sleep(0.2)


def provisioned(place: Path, name: str, stack: ExitStack) -> Server:
    server = stack.enter_context(running_server(made(place, name), config=settings(place)))
    server.provision()
    return server


def founded(place: Path, stack: ExitStack, name: str = "one") -> Server:
    """A cluster of one that others can join, with one key."""
    directory = made(place, name)
    with running_server(directory, config=settings(place)) as server:
        server.provision()
        new_key(server, "before")
    assert cluster(directory, "init", f"--url={peer_url()}").returncode == 0
    server = stack.enter_context(running_server(directory, config=settings(place)))
    server.unlock()
    wait_until(lambda: keys(server) == ["before"], seconds=60)
    change = {"newPassphrase": BACKUP, "currentPassphrase": ""}
    answer = server.request("PUT", "/config/backup-passphrase", user="admin", json=change)
    assert answer.status == 204, answer
    return server


def added(one: Server, server: Server) -> None:
    """Make `server` a member of the cluster of `one`, as clients of a NetHSM do, and unlock it."""
    kit = declared(one, peer_url())
    with ThreadPoolExecutor(1) as other:
        joining = other.submit(join, server, kit)
        promote(one, kit, joining)
        joining.result(240)
    unlocked(server)


def added_by_commands(one: Server, server: Server, kit: Path) -> str:
    """The same with `keystead cluster`, as its documentation says. Return the member's ID."""
    keystead(one, "add", peer_url(), "-o", kit)
    (new,) = (row["id"] for row in json.loads(kit.read_text())["members"] if not row["name"])
    with ThreadPoolExecutor(1) as other:
        joining = other.submit(keystead, server, "join", kit, "--yes")
        assert "full member" in keystead(one, "promote", new)
        assert "Locked" in joining.result(240)
    unlocked(server)
    return new


def unlocked(server: Server) -> None:
    server.wait_ready(times=2)
    assert server.ready_state == "Locked"
    answer = server.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert answer.status == 204, answer


def keystead(server: Server, *arguments: object) -> str:
    """Run `keystead cluster …` for an HSM; return what it said."""
    ran = run_keystead(server, *arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def run_keystead(server: Server, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keystead", "cluster", *map(str, arguments)]
    is_offline = arguments[0] == "witness"
    where = [] if is_offline else ["--host", f"{server.host}:{server.port}", "--insecure"]
    passphrases = {
        "KEYSTEAD_USER": "admin",
        "KEYSTEAD_PASSPHRASE": server.passphrases["admin"],
        "KEYSTEAD_BACKUP_PASSPHRASE": BACKUP,
    }
    return subprocess.run(  # noqa: S603
        [*command, *where],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | passphrases,
    )


def test_three_hsms_become_one_and_go_on_when_one_is_lost(place):
    authority = Authority("cluster")
    with ExitStack() as stack:
        one = founded(place, stack)
        (first,) = (row["id"] for row in members(one))
        trust(one, authority)
        two, three = (provisioned(place, name, stack) for name in ("two", "three"))
        for server in (two, three):
            trust(server, authority)
        added(one, two)
        third = added_by_commands(one, three, place / "member.json")
        assert [one["learner"] for one in members(three)] == [False] * 3
        new_key(three, "later")
        for server in (one, two):
            wait_until(lambda server=server: keys(server) == ["before", "later"], seconds=60)
        with signing([one, two, three]) as signatures:
            one.kill_all()
            wait_until(lambda: keys(three) == ["before", "later"], seconds=120)
            signed = len(signatures)
            wait_until(lambda: len(signatures) > signed + SIGNATURES, seconds=120)
        wait_until(lambda: added_key(two, "alone"), seconds=120)
        assert first in keystead(two, "status")
        assert "is removed" in keystead(two, "remove", first, "--yes")
        assert len(members(two)) == 2
        assert "is removed" in keystead(two, "remove", third, "--yes")
        removed = "removed this HSM"
        wait_until(lambda: removed in run_keystead(three, "status").stderr, seconds=120)
        assert three.state() == "Failed"
        wait_until(lambda: removed in three.log(), seconds=60)
        assert three.stop() == 0
        with running_server(place / "three", config=settings(place)) as again:
            assert again.ready_state == "Failed"
            wait_until(lambda: removed in run_keystead(again, "status").stderr, seconds=60)
            path = "/system/factory-reset"
            answer = again.request("POST", path, user="unlock", passphrase=UNLOCK)
            assert answer.status == 204, answer
            again.wait_ready(times=2)
            assert again.ready_state == "Unprovisioned"
            assert not list(again.data.glob("etcd*"))


def test_two_hsms_with_a_witness_go_on_when_one_of_them_is_lost(place):
    authority = Authority("cluster")
    with ExitStack() as stack:
        one = founded(place, stack, "first")
        two = provisioned(place, "second", stack)
        for server in (one, two):
            trust(server, authority)
        added(one, two)
        started(one, made(place, "witness"), authority, stack)
        wait_until(lambda: "witness-" in run_keystead(two, "status").stdout, seconds=120)
        one.kill_all()
        wait_until(lambda: added_key(two, "later"), seconds=120)
        assert keys(two) == ["before", "later"]


def started(one: Server, place: Path, authority: Authority, stack: ExitStack) -> None:
    """Start a witness as its page says, but for systemd, and make it a full member."""
    url, files, kit = peer_url(), place / "files", place / "member.json"
    keystead(one, "witness", "request", files, f"--url={url}")
    (place / "certificate.pem").write_bytes(authority.sign((files / "request.pem").read_bytes()))
    (place / "ca.pem").write_bytes(authority.pem)
    keystead(one, "add", url, "--witness", "-o", kit)
    assert json.loads(kit.read_bytes()).keys() == {"members"}
    configure = ("witness", "configure", files, "--members", kit, "--etcd", place.parent / "etcd")
    known = ("--certificate", place / "certificate.pem", "--ca", place / "ca.pem")
    said = keystead(one, *configure, *known)
    unit = (files / "keystead-witness.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    for specifier, directory in (("%S", place), ("%t", place), ("%d", files)):
        command = command.replace(specifier, str(directory))
    (place / "keystead-witness").mkdir(mode=0o700)
    with (place / "etcd.log").open("wb") as log:
        process = subprocess.Popen(command.split(), stderr=log)  # noqa: S603
    stack.callback(process.wait, 60)
    stack.callback(process.terminate)
    (member,) = re.findall(r"cluster promote ([0-9a-f]+)", said)
    keystead(one, "promote", member)


@contextmanager
def signing(servers: Sequence[Server]) -> Iterator[list[bytes]]:
    """Sign with the key `before` for one client that knows all members; none may fail."""
    servers[0].add_user("op", "Operator")
    endpoints = [Endpoint(one.host, one.port, Anyone()) for one in servers]
    signatures: list[bytes] = []
    ends = threading.Event()

    def sign() -> None:
        with Client(endpoints, Credentials("op", servers[0].passphrases["op"])) as client:
            while not ends.is_set():
                signatures.append(client.sign("before", "ECDSA", bytes(32)))

    with ThreadPoolExecutor(1) as threads:
        signer = threads.submit(sign)
        try:
            wait_until(lambda: len(signatures) > SIGNATURES or signer.done(), seconds=120)
            yield signatures
        finally:
            ends.set()
        signer.result(120)


def added_key(server: Server, key_id: str) -> bool:
    """Whether a key could be made: not while the others elect a leader."""
    wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "id": key_id}
    answer = server.request("POST", "/keys/generate", user="admin", json=wanted)
    return answer.status in {201, 409}
