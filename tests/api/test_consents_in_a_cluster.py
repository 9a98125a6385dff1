"""Consents on one member of a real etcd, while another takes what the consent rests on."""

import asyncio
import time

import pytest

from tests.api.test_cluster_on_etcd import in_cluster, until
from tests.support.core import ADMIN
from tests.support.etcd import WAIT_SECONDS, needs_etcd

pytestmark = needs_etcd

RULE = {"required": 2, "validSeconds": 3600, "uses": 3}
EVENTS = {"/users/ann": ["ann", "bob", "cid"], "/users/ann/tags/boss": {"tag": "boss"}}
"""What is deleted, and the approvers of the policy to which it makes a difference."""


async def until_done(event, core):
    """Wait until a member that has heard of it sees that the event has happened."""
    end = time.monotonic() + WAIT_SECONDS
    user, _, tag = event.partition("/tags/")
    while (answer := await core.request("GET", f"{user}/tags", user=ADMIN)).status != 404:
        if tag and answer.status == 200 and tag not in answer.json():
            return
        assert time.monotonic() < end, answer
        await asyncio.sleep(0.05)


def during(event, consent):
    """Run `consent` with an approval that three users may give, of whom `event` concerns one."""

    async def scenario(members):
        first, _, third = members.cores
        names = ("op", "ann", "bob", "cid")
        asker, *approvers = [await first.add_user(name, "Operator") for name in names]
        await first.generate("key", "EC_P256", "ECDSA_Signature")
        for name in names[1:]:
            await until(
                lambda name=name: first.request("PUT", f"/users/{name}/tags/boss", user=ADMIN), 204
            )
        policy = {"approvals": RULE | {"approvers": EVENTS[event]}}
        members.begin(first, "PUT", "/keys/key/policy", user=ADMIN, json=policy)
        await members.each("GET", "/keys/key/policy", user=ADMIN, status=200)
        wanted = {"reason": "release 1.2"}
        asked = await third.request("POST", "/keys/key/approvals", user=asker, json=wanted)
        assert asked.status == 201, asked
        path = f"/approvals/{asked.json()['id']}"
        for user in approvers:
            await members.each("GET", path, user=user, status=200)
        await consent(members, approvers, path)

    in_cluster(scenario)


@pytest.mark.parametrize("event", EVENTS)
def test_a_consent_after_it_is_refused_though_this_member_has_not_heard(event):
    async def consent(members, approvers, path):
        first, second, third = members.cores
        second.heard.hold()
        members.begin(first, "DELETE", event, user=ADMIN)
        await until_done(event, third)
        answer = await second.request("POST", f"{path}/approve", user=approvers[0])
        assert answer.status in {401, 403}, answer
        second.heard.release()

    during(event, consent)


@pytest.mark.parametrize("event", EVENTS)
def test_a_consent_before_it_is_void_though_the_other_member_has_not_heard(event):
    async def consent(members, approvers, path):
        first, second, third = members.cores
        first.heard.hold()
        assert (await second.request("POST", f"{path}/approve", user=approvers[0])).status == 204
        members.begin(first, "DELETE", event, user=ADMIN)
        await until_done(event, third)
        assert (await first.request("GET", path, user=ADMIN)).status == 200
        first.heard.release()
        await members.each("GET", path, user=ADMIN, status=404)

    during(event, consent)


def test_a_change_that_voids_is_not_answered_by_a_member_that_stays_behind():
    async def consent(members, approvers, path):
        first, second, _ = members.cores
        first.heard.hold()
        assert (await second.request("POST", f"{path}/approve", user=approvers[0])).status == 204
        answer = await first.request("DELETE", "/users/ann", user=ADMIN)
        assert (answer.status, "The change is made" in answer.message) == (503, True), answer
        first.heard.release()

    during("/users/ann", consent)


def test_consents_at_once_on_all_members_are_all_counted():
    async def consent(members, approvers, path):
        asked = [
            core.request("POST", f"{path}/approve", user=user)
            for core, user in zip(members.cores, approvers, strict=True)
        ]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status for answer in answers) == [204, 204, 409]
        end = time.monotonic() + WAIT_SECONDS
        while True:  # What a member shows may be a second old.
            shown = (await members.cores[0].request("GET", path, user=ADMIN)).json()
            if (shown["state"], len(shown["approvedBy"])) == ("granted", 2):
                break
            assert time.monotonic() < end, shown
            await asyncio.sleep(0.05)

    during("/users/ann", consent)
