"""The store's health and the cluster of one member, with a store that can go away."""

import asyncio
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from keystead.errors import StoreUnavailable
from keystead.model.lifecycle import State
from keystead.operations.unlocking import Unlocking
from keystead.platform.remote_members import RemoteMembers
from keystead.storage.key_value_store import Change, Check, StoredValue
from tests.support.core import ADMIN, UNLOCK, Answer, Core, basic, start_core
from tests.support.memory_store import MemoryStore

URLS = {"urls": ["https://192.0.2.2:2380"]}
JOIN = {
    "members": [{"name": "one", **URLS}],
    "joinerKit": "a2l0",
    "backupPassphrase": "backupPassphrase",
}
FORCE = "/cluster/force-new"


class LosableStore(MemoryStore):
    """A memory store that is out of reach while `lost`."""

    lost = False

    async def get(self, path: str) -> StoredValue | None:
        self._require_reachable()
        return await super().get(path)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        self._require_reachable()
        return await super().commit(changes, checks=checks)

    def _require_reachable(self) -> None:
        if self.lost:
            raise StoreUnavailable("The store is out of reach.")


class Failing:
    """An Operational core that can be made to fail."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.store = LosableStore()
        self.core: Core = self.run(start_core(store=self.store))
        self.run(self.core.provision())

    def request(self, method: str, path: str, **options) -> Answer:
        self.core.clock.advance(2)
        return self.run(self.core.request(method, path, **options))

    def fail(self) -> None:
        self.store.lost = True
        answer = self.request("PUT", "/users/one", user=ADMIN, json=USER)
        assert (answer.status, self.core.hsm.state) == (503, State.FAILED)

    def recover(self) -> None:
        self.store.lost = False
        self.run(self._until_recovered())

    async def _until_recovered(self) -> None:
        async with asyncio.timeout(10):
            while self.core.hsm.state is State.FAILED:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)


USER = {"realName": "One", "role": "Operator", "passphrase": "a passphrase"}


@pytest.fixture(scope="module")
def failing() -> Iterator[Failing]:
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patched:
        patched.setattr("keystead.operations.recovery.STORE_RETRY_SECONDS", 0.01)
        failing = Failing(runner)
        yield failing
        runner.run(failing.core.hsm.stop())
        failing.core.close()


@pytest.fixture
def hsm(failing: Failing) -> Iterator[Failing]:
    yield failing
    failing.recover()


def own_id(hsm: Failing) -> str:
    (member,) = hsm.request("GET", "/cluster/members", user=ADMIN).json()
    return member["id"]


# --- diagnosis -----------------------------------------------------------------------------------


def test_a_store_that_answers_is_running(hsm):
    diagnosis = {"clusterLogs": [], "clusterState": {"running": True}}
    for query, more in (
        ("", {}),
        ("?details=false", {}),
        ("?details=true", {"warnings": []}),
    ):
        answer = hsm.request("GET", f"/health/diagnose{query}", user=ADMIN)
        assert answer.json() == diagnosis | more
    answer = hsm.request("GET", "/health/diagnose?details=all", user=ADMIN)
    assert (answer.status, answer.message) == (400, "details must be true or false.")


def test_operational_asks_who_wants_to_know(hsm):
    assert hsm.request("GET", "/health/diagnose").status == 401


def test_in_state_failed_anyone_sees_that_the_store_is_gone(hsm):
    hsm.fail()
    diagnosis = hsm.request("GET", "/health/diagnose?details=true").json()
    assert diagnosis["clusterState"] == {"running": False}
    assert "warnings" not in diagnosis
    assert diagnosis["clusterLogs"] == [{"level": "error", "msg": "The store is out of reach."}]


# --- members -------------------------------------------------------------------------------------


def test_the_only_member_is_the_hsm_itself(hsm):
    (member,) = hsm.request("GET", "/cluster/members", user=ADMIN).json()
    assert int(member.pop("id"), 16) < 2**64
    assert member == {
        "name": f"keystead-{hsm.core.hsm.device_id.lower()}",
        "urls": [],
        "learner": False,
    }


def test_its_id_survives_a_restart(hsm):
    again = hsm.run(hsm.core.restarted())
    hsm.run(again.request("POST", "/unlock", json={"passphrase": UNLOCK}))
    (member,) = hsm.run(again.request("GET", "/cluster/members", user=ADMIN)).json()
    assert member["id"] == own_id(hsm)
    assert member["id"] == f"{int(member['id'], 16):x}"


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("POST", "/cluster/members", URLS),
        ("POST", "/cluster/join", JOIN),
        ("POST", "/cluster/members/{own}/promote", None),
        ("PUT", "/cluster/members/{own}", URLS),
        ("DELETE", "/cluster/members/{own}", None),
    ],
)
def test_a_change_of_members_is_412_and_says_what_is_missing(hsm, method, path, json):
    path = path.replace("{own}", own_id(hsm))
    answer = hsm.request(method, path, user=ADMIN, json=json)
    assert answer.status == 412
    missing = "cannot join a cluster" if path == "/cluster/join" else "the only member there is"
    assert missing in answer.message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/cluster/members/8e9e05c52164694d/promote"),
        ("PUT", "/cluster/members/8e9e05c52164694d"),
        ("DELETE", "/cluster/members/8e9e05c52164694d"),
    ],
)
def test_an_unknown_member_is_404(hsm, method, path):
    answer = hsm.request(method, path, user=ADMIN, json=URLS)
    assert answer.status == 404
    assert "There is no cluster member 8e9e05c52164694d" in answer.message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/cluster/members/{}/promote"),
        ("PUT", "/cluster/members/{}"),
        ("DELETE", "/cluster/members/{}"),
    ],
)
@pytest.mark.parametrize("member_id", ["_a", "a%20b", "a~b", "%00", "x" * 129])
def test_a_malformed_id_of_a_member_is_400(hsm, method, path, member_id):
    answer = hsm.request(method, path.format(member_id), user=ADMIN, json=URLS)
    assert answer.status == 400
    assert answer.message.startswith("ID ")


@pytest.mark.parametrize(
    ("path", "json"),
    [
        ("/cluster/members", {"urls": ["http://192.0.2.2:2380"]}),
        ("/cluster/members", {"urls": "https://192.0.2.2:2380"}),
        ("/cluster/members", {"urls": ["https://192.0.2.2"]}),
        ("/cluster/members", {"urls": ["https://192.0.2.2:2380/"]}),
        ("/cluster/join", JOIN | {"members": [{"name": "one", "urls": ["https://one:2380/etcd"]}]}),
        ("/cluster/members", {}),
        ("/cluster/join", JOIN | {"members": [{"name": "one"}]}),
        ("/cluster/join", {"members": []}),
    ],
)
def test_a_malformed_change_is_400(hsm, path, json):
    assert hsm.request("POST", path, user=ADMIN, json=json).status == 400


def test_a_url_that_would_stop_a_cluster_is_400_for_a_member_that_is_there(hsm):
    path = f"/cluster/members/{own_id(hsm)}"
    answer = hsm.request("PUT", path, user=ADMIN, json={"urls": ["https://192.0.2.2:2380/x"]})
    assert answer.status == 400
    assert "must be https://host:port, without a path" in answer.message


# --- force ---------------------------------------------------------------------------------------


def test_force_is_for_state_failed_only(hsm):
    assert hsm.request("POST", FORCE, user=("unlock", UNLOCK)).status == 412


def test_force_takes_the_unlock_passphrase_while_the_store_is_gone(hsm):
    hsm.fail()
    answer = hsm.request("POST", FORCE, user=("unlock", UNLOCK))
    assert answer.status == 412
    assert answer.message.startswith("There is no cluster to force.")


def test_force_says_to_a_member_what_its_operator_can_do(hsm):
    hsm.core.hsm.members = Mock(spec=RemoteMembers)
    hsm.fail()
    answer = hsm.request("POST", FORCE, user=("unlock", UNLOCK))
    assert answer.status == 412
    assert "`keystead cluster force-new`" in answer.message


@pytest.mark.parametrize(
    "user",
    [None, ADMIN, ("unlock", ADMIN[1]), ("admin", UNLOCK), ("unlock", "")],
    ids=["nobody", "an Administrator", "another passphrase", "another user", "none"],
)
def test_force_takes_nothing_else(hsm, user):
    hsm.fail()
    answer = hsm.request("POST", FORCE, user=user)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_guessing_at_force_is_braked_for_a_second(hsm):
    hsm.fail()
    assert hsm.request("POST", FORCE, user=("unlock", "a wrong one")).status == 401
    ask = hsm.core.request("POST", FORCE, user=("unlock", UNLOCK))
    assert hsm.run(ask).status == 429
    assert hsm.request("POST", FORCE, user=("unlock", UNLOCK)).status == 412


def test_force_knows_a_changed_unlock_passphrase(hsm):
    for new, current in (("another passphrase", UNLOCK), (UNLOCK, "another passphrase")):
        change = {"newPassphrase": new, "currentPassphrase": current}
        answer = hsm.request("PUT", "/config/unlock-passphrase", user=ADMIN, json=change)
        assert answer.status == 204
        hsm.fail()
        assert hsm.request("POST", FORCE, user=("unlock", current)).status == 401
        assert hsm.request("POST", FORCE, user=("unlock", new)).status == 412
        hsm.recover()


def test_force_knows_the_passphrase_of_an_hsm_that_was_only_started(hsm):
    again = hsm.run(hsm.core.restarted())
    assert again.hsm.state is State.LOCKED
    hsm.store.lost = True
    assert hsm.run(again.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 503
    assert again.hsm.state is State.FAILED
    assert hsm.run(again.request("POST", FORCE, user=("unlock", UNLOCK))).status == 412
    hsm.run(again.hsm.stop())


def test_a_passphrase_cannot_be_checked_against_what_was_never_read(hsm):
    context = SimpleNamespace(unlock_pool=hsm.core.pools[1], monotonic=hsm.core.clock)
    unlocking = Unlocking(
        context, hsm.core.hsm.local, hsm.core.hsm.failed_attempts, hsm.core.hsm.changing
    )
    hsm.store.lost = True
    hsm.run(unlocking.remember())
    header = basic(("unlock", UNLOCK))
    with pytest.raises(StoreUnavailable):
        hsm.run(unlocking.authenticate(header, address="192.0.2.1"))
