"""An HSM joins a cluster: a core, and the platform's service with a real etcd that is a member."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from keystead.errors import InvalidInput
from keystead.platform import joining
from keystead.platform.joining import JoiningService, forget_joined, joined
from keystead.storage.settings import CLUSTER_CA
from keystead.wire.platform_messages import JoinCluster, Write
from tests.api.test_cluster_members import BACKUP, URL, Hsm
from tests.support.core import ADMIN, Answer, Core, start_core
from tests.support.etcd import Cluster, needs_etcd

pytestmark = needs_etcd

OWN_URL = "https://192.0.2.1:2380"
FIRST = {"name": "m0", "urls": [OWN_URL]}
NEW = {"name": "", "urls": [URL]}


@pytest.fixture(scope="module")
def etcd():
    with Cluster(1) as cluster:
        yield cluster.members[0]


class Joins:
    """Joins with the etcd of a member that is promoted already, so nobody has to start one."""

    def __init__(self, service: JoiningService) -> None:
        self._service = service

    async def join(self, _name: str, _members: Sequence, own: Sequence) -> None:
        writes = [Write(one.path, one.value) for one in own]
        answer = await self._service.answer(JoinCluster(1, writes))
        if answer.refusal:
            raise InvalidInput(answer.message)


class New:
    """An HSM that may join, and what a member has declared for it."""

    def __init__(self, runner: asyncio.Runner, data: Path, socket: Path, kit: str) -> None:
        self.run = runner.run
        self.core: Core = self.run(start_core())
        self.run(self.core.provision())
        self.core.hsm.joins = Joins(JoiningService(data, socket))
        self.kit = kit

    def join(self, members: list[dict], passphrase: str = BACKUP, kit: str | None = None) -> Answer:
        self.core.clock.advance(2)
        wanted = {
            "members": members,
            "joinerKit": self.kit if kit is None else kit,
            "backupPassphrase": passphrase,
        }
        return self.run(self.core.request("POST", "/cluster/join", user=ADMIN, json=wanted))

    def has_authority(self) -> None:
        local = self.core.hsm.local.settings
        self.run(self.core.hsm.store.commit([local.put(CLUSTER_CA, b"a certificate")]))


@pytest.fixture
def new(etcd, tmp_path) -> Iterator[New]:
    with asyncio.Runner() as runner:
        declaring = Hsm(runner, etcd)
        declaring.has_passphrase()
        declaring.has_authority()
        answer = declaring.declare().json()
        (learner,) = (one["id"] for one in answer["members"] if one["learner"])
        declaring.request("DELETE", f"/cluster/members/{learner}")
        declaring.close()
        hsm = New(runner, tmp_path, etcd.socket, answer["joinerKit"])
        yield hsm
        runner.run(hsm.core.hsm.stop())
        hsm.core.close()


def test_the_changes_of_a_joined_device_are_kept_for_its_first_start_as_a_member(new, tmp_path):
    new.has_authority()
    assert new.join([FIRST, NEW]).status == 204
    locked = new.core.hsm.local.put_locked_domain_key(b"").path
    assert locked in [one.path for one in joined(tmp_path)]
    forget_joined(tmp_path)
    assert joined(tmp_path) == []


def test_without_a_cluster_ca_it_does_not_join(new, tmp_path):
    assert new.join([FIRST, NEW]).status == 412
    assert joined(tmp_path) == []


def test_with_a_wrong_passphrase_or_kit_nothing_is_changed(new, tmp_path):
    new.has_authority()
    assert new.join([FIRST, NEW], passphrase="another passphrase").status == 400
    for kit in ("", "AAAA", "no base64!"):
        assert new.join([FIRST, NEW], kit=kit).status == 400
    assert joined(tmp_path) == []


@pytest.mark.parametrize(
    "members",
    [
        [NEW],
        [FIRST, {"name": "m1", "urls": [URL]}],
        [{"name": "", "urls": [OWN_URL]}, NEW],
        [FIRST, {"name": "", "urls": [OWN_URL]}],
        [FIRST, FIRST | {"urls": ["https://192.0.2.3:2380"]}, NEW],
        [{"name": f"m{n}", "urls": [f"https://192.0.2.{n + 9}:2380"]} for n in range(5)] + [NEW],
    ],
    ids=["alone", "no new one", "two new ones", "a URL twice", "a name twice", "too many"],
)
def test_a_list_of_members_that_no_cluster_has_is_refused(new, tmp_path, members):
    new.has_authority()
    assert new.join(members).status == 400
    assert joined(tmp_path) == []


async def answered(data: Path, socket: Path) -> str:
    answer = await JoiningService(data, socket).answer(JoinCluster(1, []))
    return answer.message


def test_an_etcd_that_does_not_come_up_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "CONTACT_SECONDS", 0.3)
    said = asyncio.run(answered(tmp_path, tmp_path / "nothing"))
    assert ("not reached within 0.3 s" in said, "logs" in said) == (True, True)


def test_a_data_directory_that_takes_no_file_is_said(tmp_path, etcd):
    assert "cannot be written" in asyncio.run(answered(tmp_path / "missing", etcd.socket))
    assert joined(tmp_path) == []
