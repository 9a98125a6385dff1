"""A change of a cluster's members that etcd has not answered: it is made, or asked for again."""

import asyncio

import pytest

from keystead.etcd import calls
from keystead.etcd import messages as m
from keystead.etcd.errors import EtcdInDoubt, EtcdUnavailable
from keystead.platform.members import MembersService
from keystead.wire.cluster_messages import MembersStep

URLS = ("https://192.0.2.2:2380",)
FIRST = m.ListedMember(id=1, name="first", peer_urls=("https://192.0.2.1:2380",))
STEPS = {
    "add": (MembersStep(7, "add", urls=[*URLS]), m.ListedMember(2, "", URLS, is_learner=True)),
    "move": (MembersStep(7, "move", 2, [*URLS]), m.ListedMember(2, "second", URLS)),
    "promote": (MembersStep(7, "promote", 2), m.ListedMember(2, "second", URLS)),
    "remove": (MembersStep(7, "remove", 2), None),
}
BEFORE = {
    "add": None,
    "move": m.ListedMember(2, "second", ("https://192.0.2.9:2380",)),
    "promote": m.ListedMember(2, "second", URLS, is_learner=True),
    "remove": m.ListedMember(2, "second", URLS),
}


class Client:
    """An etcd that does not answer changes, and lists its members, or fails with an error."""

    def __init__(self, *lists):
        self._lists = list(lists)
        self.changes = 0

    async def call(self, method, _request):
        if method is not calls.MEMBER_LIST:
            self.changes += 1
            raise EtcdInDoubt("no answer")
        found = self._lists.pop(0)
        if isinstance(found, Exception):
            raise found
        return m.MembersResponse(members=tuple(one for one in (FIRST, found) if one))


def answer(client, step):
    return asyncio.run(MembersService(client, quota_bytes=0).answer(step))


@pytest.mark.parametrize("name", STEPS)
def test_a_change_that_is_made_is_not_asked_for_again(name):
    step, after = STEPS[name]
    client = Client(after)
    found = answer(client, step)
    assert (found.refusal, client.changes) == ("", 1)
    assert found.member_id == (2 if name == "add" else 0)
    assert len(found.members) == (1 if name == "remove" else 2)


@pytest.mark.parametrize("name", STEPS)
def test_a_change_that_is_not_made_is_asked_for_again(name):
    step, after = STEPS[name]
    client = Client(BEFORE[name], EtcdUnavailable("no majority"), after)
    assert (answer(client, step).refusal, client.changes) == ("", 3)


def test_a_question_is_not_repeated():
    client = Client(EtcdInDoubt("no answer"))
    found = answer(client, MembersStep(7, "list"))
    assert (found.refusal, client.changes) == ("unavailable", 0)


def test_after_some_seconds_a_change_stays_in_doubt(monkeypatch):
    monkeypatch.setattr("keystead.platform.members._PATIENCE_SECONDS", 0.0)
    step, _ = STEPS["remove"]
    found = answer(Client(BEFORE["remove"]), step)
    assert (found.refusal, "no answer" in found.message) == ("unavailable", True)
