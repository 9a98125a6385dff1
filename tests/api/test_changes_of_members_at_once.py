"""Two change the members of a cluster at once: etcd makes one change after the other."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from keystead.etcd.client import EtcdClient
from tests.api.test_cluster_members import Hsm
from tests.support.core import ADMIN
from tests.support.etcd import Cluster, needs_etcd
from tests.support.server import wait_until

pytestmark = needs_etcd

URLS = ["https://192.0.2.2:2380", "https://192.0.2.3:2380"]
ROUNDS = 3


@contextmanager
def hsms(size: int) -> Iterator[list[Hsm]]:
    """HSMs that can declare others, each on a member of one etcd."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(size))
        runner = stack.enter_context(asyncio.Runner())
        found = [Hsm(runner, member, EtcdClient) for member in cluster.members]
        for hsm in found:
            stack.callback(hsm.close)
            hsm.has_passphrase()
            hsm.has_authority()
        yield found


def at_once(hsms, *requests):
    """Make a request on each HSM, all at one moment. Return the statuses."""

    async def ask():
        asked = [
            hsm.core.request(method, f"/cluster/members{path}", user=ADMIN, json=json)
            for hsm, (method, path, json) in zip(hsms, requests, strict=True)
        ]
        return [answer.status for answer in await asyncio.gather(*asked)]

    for hsm in hsms:
        hsm.core.clock.advance(2)
    return hsms[0].run(ask())


def declared(hsm, url=URLS[0]):
    answer = hsm.declare(url)
    assert answer.status == 201, answer
    return next(one for one in answer.json()["members"] if not one["name"])


def learners(hsm):
    return [one["id"] for one in hsm.members() if one["learner"]]


def id_of(hsm, name):
    return next(one["id"] for one in hsm.members() if one["name"] == name)


@pytest.mark.parametrize("urls", [URLS, [URLS[0]] * 2], ids=["two URLs", "one URL"])
def test_of_two_that_declare_a_member_at_once_one_does(urls):
    with hsms(3) as (first, second, third):
        for _ in range(ROUNDS):
            wanted = [("POST", "", {"urls": [url]}) for url in urls]
            statuses = at_once([first, second], *wanted)
            # Of one URL, both may have declared the same member.
            assert 201 in statuses, statuses
            assert set(statuses) <= ({201, 409} if urls == URLS else {201, 409, 412}), statuses
            (learner,) = learners(third)
            assert third.request("DELETE", f"/cluster/members/{learner}").status == 204


def test_a_member_is_removed_once_and_others_hear_that_it_is_gone():
    with hsms(3) as (first, second, third):
        for _ in range(ROUNDS):
            path = f"/{declared(first)['id']}"
            statuses = at_once([first, second], ("DELETE", path, None), ("DELETE", path, None))
            assert sorted(statuses) in ([204, 404], [204, 204]), statuses
            assert learners(third) == []


def test_a_member_is_removed_while_another_is_declared():
    with hsms(3) as (first, second, _):
        third = id_of(first, "m2")
        statuses = at_once(
            [first, second], ("DELETE", f"/{third}", None), ("POST", "", {"urls": URLS})
        )
        assert set(statuses) <= {201, 204, 409}, statuses
        names = [one["name"] for one in first.members() if not one["learner"]]
        assert sorted(names) == (["m0", "m1"] if statuses[0] == 204 else ["m0", "m1", "m2"])
        assert len(learners(first)) == (statuses[1] == 201)


@pytest.mark.parametrize("asked", [(0, 1), (0, 0)], ids=["of each other", "by one"])
def test_of_two_removals_at_once_one_member_is_left(asked):
    with hsms(2) as pair:
        paths = [f"/{id_of(pair[0], name)}" for name in ("m1", "m0")]
        # One that is removed may hear nothing of what it has asked for.
        statuses = at_once(
            [pair[number] for number in asked], *[("DELETE", path, None) for path in paths]
        )
        assert set(statuses) <= {204, 409, 503}, statuses
        views = []

        def one_is_left() -> bool:
            answers = [hsm.request("GET", "/cluster/members") for hsm in pair]
            views[:] = [answer.json() for answer in answers if answer.status == 200]
            return [len(view) for view in views] == [1]

        # Without a leader nobody answers: the one that is left elects itself first.
        wait_until(one_is_left, seconds=10, what=lambda: views)
