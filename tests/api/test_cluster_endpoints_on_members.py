"""The endpoints about the cluster on a member of three: what each answers, and in which order."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from keystead.etcd.client import EtcdClient
from keystead.model.lifecycle import State
from keystead.platform.members import MembersService
from keystead.platform.remote_members import RemoteMembers
from keystead.processes.etcd.member import QUOTA_BYTES
from tests.api.test_access_on_members import second_of_two
from tests.api.test_cluster_members import Direct
from tests.support.core import ADMIN, Core
from tests.support.etcd import WAIT_SECONDS, Cluster, needs_etcd

pytestmark = needs_etcd

OPERATOR = ("Operator", "passphrase of Operator")
UNKNOWN = "/cluster/members/123abc"
GOOD, BAD = {"urls": ["https://192.0.2.9:2380"]}, {"urls": ["http://192.0.2.9"]}

CHANGES = (
    ("POST", "/cluster/members", BAD, 400),
    ("POST", "/cluster/members", GOOD, 412),  # There is no cluster CA yet.
    ("PUT", UNKNOWN, BAD, 404),  # The member is looked for before the body is read.
    ("PUT", UNKNOWN, GOOD, 404),
    ("PUT", "/cluster/members/OWN", BAD, 400),
    ("DELETE", UNKNOWN, None, 404),
    ("DELETE", "/cluster/members/-", None, 400),
    ("POST", f"{UNKNOWN}/promote", None, 404),
    ("POST", "/cluster/members/OWN/promote", None, 412),  # It is a full member already.
    ("POST", "/cluster/join", {"members": []}, 400),
    ("GET", "/cluster/members", None, 200),
)


class Asked:
    """A member of a cluster of three, with its runner."""

    def __init__(self, runner: asyncio.Runner, core: Core) -> None:
        self.runner, self.core = runner, core
        self.own = self.ask("GET", "/cluster/members", user=ADMIN).json()[0]["id"]

    def ask(self, method: str, path: str, **more):
        """Ask, and again while the etcd is too busy to answer in time."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            self.core.clock.advance(2)  # Nobody is braked for the attempt before.
            answer = self.runner.run(self.core.request(method, path, **more))
            if answer.status != 503:
                return answer
            assert time.monotonic() < end, answer


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with Cluster(3) as cluster, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        core, _ = runner.run(second_of_two(cluster, stack))
        client = EtcdClient(str(cluster.members[1].socket))
        stack.push_async_callback(client.close)
        service = MembersService(client, quota_bytes=QUOTA_BYTES)
        core.hsm.members = RemoteMembers(Direct(service))
        yield Asked(runner, core)
        runner.run(stack.aclose())


@pytest.mark.parametrize(
    ("method", "path", "json", "status"),
    CHANGES,
    ids=[f"{method} {path} {status}" for method, path, _, status in CHANGES],
)
def test_the_state_the_caller_and_the_role_come_before_the_member_and_the_body(
    asked: Asked, method, path, json, status
):
    path = path.replace("OWN", asked.own)
    session = asked.core.hsm.session
    for state in (State.LOCKED, State.FAILED):
        asked.core.hsm.state, asked.core.hsm.session = state, None
        try:
            assert asked.ask(method, path, json=json).status == 412
        finally:
            asked.core.hsm.state, asked.core.hsm.session = State.OPERATIONAL, session
    for user, refused in ((None, 401), (("nobody", "wrong passphrase"), 401), (OPERATOR, 403)):
        assert asked.ask(method, path, json=json, user=user).status == refused
    answer = asked.ask(method, path, json=json, user=ADMIN)
    assert answer.status == status, answer
    assert len(asked.ask("GET", "/cluster/members", user=ADMIN).json()) == 3
