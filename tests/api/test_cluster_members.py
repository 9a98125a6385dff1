"""Members are added, moved, promoted and removed: a core with a real etcd, without processes."""

import asyncio
from collections.abc import Iterator

import pytest

from keystead.model.secret import Secret
from keystead.platform.members import MembersService
from keystead.platform.remote_members import RemoteMembers
from keystead.processes.etcd.member import QUOTA_BYTES
from keystead.sealing.joiner_kit import JoinerKit
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage.settings import CLUSTER_CA
from tests.support.core import ADMIN, Answer, Core, start_core
from tests.support.etcd import Cluster, PatientClient, needs_etcd

pytestmark = needs_etcd

BACKUP = "backupPassphrase"
URL = "https://192.0.2.2:2380"


class Direct:
    """Asks the service without a connection between."""

    def __init__(self, service: MembersService) -> None:
        self.ask = service.answer

    def next_id(self) -> int:
        return 1


class Hsm:
    """A core that is a member of an etcd of one."""

    def __init__(self, runner: asyncio.Runner, member, client: type = PatientClient) -> None:
        self.run = runner.run
        self.core: Core = self.run(start_core())
        self.run(self.core.provision())
        client = client(str(member.socket))
        service = MembersService(client, quota_bytes=QUOTA_BYTES)
        self.core.hsm.members = RemoteMembers(Direct(service))
        self.client = client

    def request(self, method: str, path: str, **options) -> Answer:
        self.core.clock.advance(2)
        return self.run(self.core.request(method, path, user=ADMIN, **options))

    def members(self) -> list[dict]:
        return self.request("GET", "/cluster/members").json()

    def declare(self, url: str = URL) -> Answer:
        return self.request("POST", "/cluster/members", json={"urls": [url]})

    def has_passphrase(self) -> None:
        change = {"newPassphrase": BACKUP, "currentPassphrase": ""}
        answer = self.request("PUT", "/config/backup-passphrase", json=change)
        assert answer.status == 204

    def has_authority(self) -> None:
        local = self.core.hsm.local.settings
        self.run(self.core.hsm.store.commit([local.put(CLUSTER_CA, b"a certificate")]))

    def close(self) -> None:
        self.run(self.client.close())
        self.run(self.core.hsm.stop())
        self.core.close()


@pytest.fixture(scope="module")
def etcd():
    with Cluster(1) as cluster:
        yield cluster.members[0]


@pytest.fixture
def fresh(etcd) -> Iterator[Hsm]:
    with asyncio.Runner() as runner:
        hsm = Hsm(runner, etcd)
        yield hsm
        for member in hsm.members():
            if member["learner"]:
                gone = hsm.request("DELETE", f"/cluster/members/{member['id']}")
                assert gone.status == 204, gone
        hsm.close()


@pytest.fixture
def hsm(fresh: Hsm) -> Hsm:
    fresh.has_passphrase()
    fresh.has_authority()
    return fresh


def test_members_are_those_of_etcd(hsm):
    (own,) = hsm.members()
    assert own["name"] == "m0"
    assert own["id"] == f"{int(own['id'], 16):x}"
    assert own["learner"] is False


def test_a_new_member_is_a_learner_and_gets_a_kit_that_opens_with_the_backup_passphrase(hsm):
    answer = hsm.declare()
    assert answer.status == 201
    new = next(one for one in answer.json()["members"] if not one["name"])
    assert (new["urls"], new["learner"]) == ([URL], True)
    assert new in hsm.members()
    kit = JoinerKit(answer.json()["joinerKit"])
    _, locked = kit.open(derive_unlock_key(Secret(BACKUP.encode()), kit.backup_salt))
    assert locked == hsm.run(hsm.core.hsm.local.locked_domain_key())


def test_a_second_learner_is_a_conflict(hsm):
    assert hsm.declare().status == 201
    assert hsm.declare("https://192.0.2.3:2380").status == 409


def test_without_a_backup_passphrase_nobody_could_join(fresh):
    fresh.has_authority()
    answer = fresh.declare()
    assert (answer.status, len(fresh.members())) == (412, 1)
    assert "backup passphrase" in answer.message


def test_without_a_cluster_ca_nobody_could_be_trusted(fresh):
    fresh.has_passphrase()
    answer = fresh.declare()
    assert (answer.status, len(fresh.members())) == (412, 1)
    assert "cluster CA" in answer.message


def test_a_learner_that_has_not_started_is_not_promoted(hsm):
    new = next(one for one in hsm.declare().json()["members"] if not one["name"])
    answer = hsm.request("POST", f"/cluster/members/{new['id']}/promote")
    assert answer.status == 412
    assert "in sync with leader" in answer.message


def test_a_full_member_is_not_promoted_again(hsm):
    (own,) = hsm.members()
    answer = hsm.request("POST", f"/cluster/members/{own['id']}/promote")
    assert answer.status == 412


def test_a_removed_member_is_404(hsm):
    new = next(one for one in hsm.declare().json()["members"] if not one["name"])
    path = f"/cluster/members/{new['id']}"
    assert hsm.request("DELETE", path).status == 204
    assert len(hsm.members()) == 1
    for method, below, json in (
        ("PUT", "", {"urls": [URL]}),
        ("DELETE", "", None),
        ("POST", "/promote", None),
    ):
        assert hsm.request(method, path + below, json=json).status == 404


def test_a_full_member_moves_but_not_to_where_another_is(hsm):
    (own,) = hsm.members()
    path = f"/cluster/members/{own['id']}"
    assert hsm.declare().status == 201
    assert hsm.request("PUT", path, json={"urls": [URL]}).status == 412
    moved = {"urls": ["https://other.example:2380"]}
    assert hsm.request("PUT", path, json=moved).status == 204
    assert moved["urls"] in [one["urls"] for one in hsm.members()]


def test_a_learner_cannot_move_because_etcd_would_take_it_for_a_full_member(hsm):
    new = next(one for one in hsm.declare().json()["members"] if not one["name"])
    moved = {"urls": ["https://other.example:2380"]}
    answer = hsm.request("PUT", f"/cluster/members/{new['id']}", json=moved)
    assert answer.status == 409
    assert new in hsm.members()


def test_the_last_full_member_stays(hsm):
    (own,) = hsm.members()
    assert hsm.declare().status == 201
    answer = hsm.request("DELETE", f"/cluster/members/{own['id']}")
    assert answer.status == 409
    assert "last full member" in answer.message
    assert len(hsm.members()) == 2
