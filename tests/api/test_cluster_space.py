"""How full etcd's database is, in the diagnosis and the metrics: a core with a real etcd."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keystead.etcd import calls
from keystead.etcd import messages as m
from keystead.etcd.client import EtcdClient
from keystead.model.members import ALMOST_FULL
from keystead.platform.members import MembersService
from keystead.platform.remote_members import RemoteMembers
from tests.support import etcd_calls
from tests.support.core import ADMIN, Core, start_core
from tests.support.etcd import Cluster, PatientClient, needs_etcd

pytestmark = needs_etcd

QUOTA_BYTES = 2**30
ACTIVATE, DEACTIVATE = 1, 2
NO_SPACE = 1


class Direct:
    """Asks the service without a connection between."""

    def __init__(self, client: EtcdClient, quota_bytes: int) -> None:
        self.ask = MembersService(client, quota_bytes=quota_bytes).answer

    def next_id(self) -> int:
        return 1


class Hsm:
    """A core that is a member of an etcd of one."""

    def __init__(self, runner: asyncio.Runner, socket: Path) -> None:
        self.run = runner.run
        self.core: Core = self.run(start_core())
        self.run(self.core.provision())
        self.user = self.run(self.core.add_user("metrics", "Metrics"))
        self.client = PatientClient(str(socket))
        self.ask(self.client)

    def ask(self, client: EtcdClient, quota_bytes: int = QUOTA_BYTES) -> None:
        """Have the HSM ask this etcd, which it takes to have this quota."""
        self.core.hsm.members = RemoteMembers(Direct(client, quota_bytes))

    def diagnosis(self) -> dict:
        return self.run(
            self.core.request("GET", "/health/diagnose?details=true", user=ADMIN)
        ).json()

    def complaints(self) -> list[str]:
        return [one["msg"] for one in self.diagnosis()["clusterLogs"]]

    def metrics(self) -> dict[str, float]:
        plain = {"accept": "text/plain"}
        text = self.run(self.core.request("GET", "/metrics", user=self.user, headers=plain)).body
        families = text_string_to_metric_families(text.decode())
        return {
            one.name.removeprefix("keystead_etcd_"): one.samples[0].value
            for one in families
            if one.name.startswith("keystead_etcd_")
        }

    def alarm(self, action: int) -> None:
        """Raise the alarm of a full database, or end it."""
        (member,) = self.run(self.client.call(calls.MEMBER_LIST, m.MemberListRequest())).members
        request = etcd_calls.AlarmRequest(action, member.id, NO_SPACE)
        self.run(self.client.call(etcd_calls.ALARM, request))

    def close(self) -> None:
        self.run(self.client.close())
        self.run(self.core.hsm.stop())
        self.core.close()


@pytest.fixture(scope="module")
def etcd() -> Iterator[Path]:
    with Cluster(1) as cluster:
        yield cluster.members[0].socket


@pytest.fixture
def hsm(etcd: Path) -> Iterator[Hsm]:
    with asyncio.Runner() as runner:
        hsm = Hsm(runner, etcd)
        yield hsm
        hsm.close()


def test_the_diagnosis_and_the_metrics_say_how_full_the_database_is(hsm):
    diagnosis = hsm.diagnosis()
    database = diagnosis["clusterDatabase"]
    assert 0 < database["used"] <= database["size"] < database["quota"] == QUOTA_BYTES
    assert diagnosis["clusterLogs"] == diagnosis["warnings"] == []
    told = hsm.metrics()
    assert 0 < told["used_bytes"] <= told["size_bytes"] < told["quota_bytes"] == QUOTA_BYTES
    assert told["complaints"] == 0


def test_an_alarm_is_told_until_it_is_disarmed(hsm):
    hsm.alarm(ACTIVATE)
    try:
        (complaint,) = hsm.complaints()
        assert "NOSPACE" in complaint
        assert hsm.metrics()["complaints"] == 1
    finally:
        hsm.alarm(DEACTIVATE)
    assert hsm.complaints() == []
    assert hsm.metrics()["complaints"] == 0


def test_a_database_that_is_almost_full_is_a_warning(hsm):
    size = hsm.diagnosis()["clusterDatabase"]["size"]
    hsm.ask(hsm.client, quota_bytes=size)
    assert hsm.diagnosis()["warnings"] == [ALMOST_FULL]


def test_an_etcd_that_does_not_answer_is_told_and_hides_no_other_metric(hsm, tmp_path):
    client = EtcdClient(str(tmp_path / "nothing"))
    hsm.ask(client)
    diagnosis = hsm.diagnosis()
    assert "clusterDatabase" not in diagnosis
    assert [one["msg"] for one in diagnosis["clusterLogs"]] == [
        "etcd does not say how full its database is."
    ]
    assert hsm.metrics() == {}
    hsm.run(client.close())


def test_a_locked_hsm_tells_nobody(hsm):
    assert hsm.run(hsm.core.request("POST", "/lock", user=ADMIN)).status == 204
    locked = hsm.run(hsm.core.request("GET", "/health/diagnose?details=true")).json()
    assert locked == {"clusterLogs": [], "clusterState": {"running": True}}
