"""Three real servers that become one cluster over mutual TLS, through the API that NetHSM has."""

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.test_cluster_of_one import cluster, config, keys, new_key
from tests.support.authority import Authority
from tests.support.etcd import BINARY, needs_etcd
from tests.support.server import Server, running_server, wait_until

pytestmark = needs_etcd

BACKUP = "backupPassphrase"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="keystead-"))
    directory.chmod(0o755)
    shutil.copy(BINARY, directory / "etcd")
    yield directory
    shutil.rmtree(directory)


def peer_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"https://127.0.0.1:{free.getsockname()[1]}"


def made(place: Path, name: str) -> Path:
    directory = place / name
    directory.mkdir(mode=0o755)
    return directory


def settings(place: Path) -> str:
    # A busy machine must have the time for a confirmation.
    return config(place) + "freshness = 10.0\n"


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
    answer = server.request("POST", "/cluster/members", user="admin", json={"urls": [url]})
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


def promote(server: Server, kit: dict) -> None:
    """Ask until the new member has all records, as operators of a NetHSM do."""
    (new,) = (one for one in kit["members"] if not one["name"])
    path = f"/cluster/members/{new['id']}/promote"
    end = time.monotonic() + 240
    while (answer := server.request("POST", path, user="admin")).status != 204:
        assert answer.status in {412, 409, 503}, answer
        assert time.monotonic() < end, answer
        time.sleep(0.2)


def test_three_hsms_become_one_and_go_on_without_one_of_them(place):
    authority = Authority("cluster")
    with ExitStack() as stack:
        first = made(place, "one")
        with running_server(first, config=settings(place)) as server:
            server.provision()
            new_key(server, "before")
        url = peer_url()
        assert cluster(first, "init", f"--url={url}").returncode == 0
        one = stack.enter_context(running_server(first, config=settings(place)))
        one.unlock()
        trust(one, authority)
        change = {"newPassphrase": BACKUP, "currentPassphrase": ""}
        wait_until(lambda: keys(one) == ["before"], seconds=60)
        answer = one.request("PUT", "/config/backup-passphrase", user="admin", json=change)
        assert answer.status == 204, answer
        others = []
        for name in ("two", "three"):
            server = stack.enter_context(running_server(made(place, name), config=settings(place)))
            server.provision()
            trust(server, authority)
            kit = declared(one, peer_url())
            joining = threading.Thread(target=join, args=(server, kit))
            joining.start()
            promote(one, kit)
            joining.join(240)
            server.wait_ready(times=2)
            assert server.ready_state == "Locked"
            server.unlock()
            wait_until(lambda server=server: keys(server) == ["before"], seconds=60)
            others.append(server)
        assert len(members(one)) == 3
