"""What a member says of the others: who leads, who is connected, and how far it is itself."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from keystead.etcd.client import EtcdClient
from keystead.platform.members import MembersService
from keystead.platform.remote_members import RemoteMembers
from keystead.processes.etcd.member import QUOTA_BYTES
from tests.support.core import ADMIN, Core, start_core
from tests.support.etcd import Cluster, PatientClient, needs_etcd

pytestmark = needs_etcd


class Direct:
    """Asks the service without a connection between."""

    def __init__(self, client: EtcdClient) -> None:
        self.ask = MembersService(client, quota_bytes=QUOTA_BYTES).answer

    def next_id(self) -> int:
        return 1


class Hsm:
    """A core that asks a member of a cluster."""

    def __init__(self, runner: asyncio.Runner, client: EtcdClient) -> None:
        self.run = runner.run
        self.core: Core = self.run(start_core())
        self.run(self.core.provision())
        self.client = client
        self.core.hsm.members = RemoteMembers(Direct(client))

    def get(self, path: str) -> dict:
        return self.run(self.core.request("GET", path, user=ADMIN)).json()

    def states(self) -> dict[str, dict]:
        """The members by their names, as the diagnosis has them."""
        names = {one["id"]: one["name"] for one in self.get("/cluster/members")}
        return {
            names[one["id"]]: one
            for one in self.get("/health/diagnose?details=true")["clusterMembers"]
        }

    def wait(self, condition: Callable[[dict[str, dict]], bool]) -> dict[str, dict]:
        give_up = time.monotonic() + 60
        while not condition(states := self.states()):
            assert time.monotonic() < give_up, states
        return states

    def close(self) -> None:
        self.run(self.client.close())
        self.run(self.core.hsm.stop())
        self.core.close()


@pytest.fixture
def three() -> Iterator[Cluster]:
    with Cluster(3) as cluster:
        yield cluster


@pytest.fixture
def hsm(three: Cluster) -> Iterator[Hsm]:
    with asyncio.Runner() as runner:
        hsm = Hsm(runner, PatientClient(str(three.members[0].socket)))
        yield hsm
        hsm.close()


def are_all_connected(states: dict[str, dict]) -> bool:
    leads = [one["leader"] for one in states.values()]
    return all(one["connected"] for one in states.values()) and leads.count(True) == 1


def test_who_leads_and_who_is_connected_is_told_until_a_majority_is_lost(
    three: Cluster, hsm: Hsm
) -> None:
    states = hsm.wait(are_all_connected)
    assert [name for name, one in states.items() if one["own"]] == ["m0"]
    assert [name for name, one in states.items() if "behind" in one] == ["m0"]
    assert hsm.wait(lambda now: now["m0"]["behind"] == 0)
    three.members[2].kill()
    states = hsm.wait(lambda now: not now["m2"]["connected"] and not now["m2"]["leader"])
    assert states["m1"]["connected"]
    three.members[1].kill()
    states = hsm.wait(lambda now: not any(one["leader"] for one in now.values()))
    assert states["m0"]["connected"]
    three.members[0].kill()
    assert "clusterMembers" not in hsm.get("/health/diagnose?details=true")


def test_a_locked_hsm_tells_nobody(hsm: Hsm) -> None:
    assert hsm.run(hsm.core.request("POST", "/lock", user=ADMIN)).status == 204
    locked = hsm.run(hsm.core.request("GET", "/health/diagnose?details=true")).json()
    assert "clusterMembers" not in locked


def test_a_cluster_of_one_leads_itself() -> None:
    with Cluster(1) as cluster, asyncio.Runner() as runner:
        hsm = Hsm(runner, PatientClient(str(cluster.members[0].socket)))
        ((own, state),) = hsm.wait(lambda now: now["m0"]["behind"] == 0).items()
        hsm.close()
    wanted = {"own": True, "leader": True, "connected": True, "behind": 0}
    assert (own, state) == ("m0", {"id": state["id"], **wanted})
