"""Changes of the cluster are no commits: they ask again too whether their caller may make them."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from keystead.model.members import Member
from keystead.model.peer_urls import PeerUrl
from keystead.model.secret import Secret
from keystead.sealing.joiner_kit import make_kit
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage.key_value_store import Change
from keystead.storage.settings import CLUSTER_CA
from tests.support.backups import PASSPHRASE, set_passphrase
from tests.support.core import ADMIN, Core, Credentials, start_core

URLS: list[PeerUrl] = [PeerUrl("https://192.0.2.2:2380")]
SALT = bytes(16)
LEAVER = ("leaver", "passphrase of leaver")


class SlowCluster:
    """A cluster whose answers wait for a test, and which remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.changes: list[str] = []

    async def present(self) -> list[Member]:
        self.asked.set()
        await self.may_answer.wait()
        return [Member(1, "first", tuple(URLS)), Member(2, "second", tuple(URLS), is_learner=True)]

    async def add(self, _: Sequence[PeerUrl]) -> tuple[int, list[Member]]:
        self.changes.append("added")
        return 3, []

    async def move(self, _number: int, _urls: Sequence[PeerUrl]) -> None:
        self.changes.append("moved")

    async def remove(self, _: int) -> None:
        self.changes.append("removed")

    async def promote(self, _: int) -> None:
        self.changes.append("promoted")

    async def join(self, _name: str, _members: Sequence[Member], _own: Sequence[Change]) -> None:
        self.changes.append("joined")


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "added": ("POST", "/cluster/members", {"urls": URLS}),
    "moved": ("PUT", "/cluster/members/1", {"urls": URLS}),
    "removed": ("DELETE", "/cluster/members/2", None),
    "promoted": ("POST", "/cluster/members/2/promote", None),
}


@pytest.fixture
def core(runner: asyncio.Runner) -> Iterator[Core]:
    core = runner.run(start_core())

    async def prepare() -> None:
        await core.provision()
        assert await core.add_user("leaver", "Administrator") == LEAVER
        # So the leaver's passphrase is verified before the test begins.
        assert (await core.request("GET", "/users", user=LEAVER)).status == 200
        assert await set_passphrase(core, PASSPHRASE) == 204
        await core.hsm.store.commit([core.hsm.local.settings.put(CLUSTER_CA, b"a certificate")])

    runner.run(prepare())
    yield core
    core.close()


def asked(core: Core, request: tuple[str, str, Any], user: Credentials) -> "asyncio.Task[Any]":
    method, path, content = request
    return asyncio.create_task(core.request(method, path, user=user, json=content))


@pytest.mark.parametrize("deleted", [["leaver"], []])
@pytest.mark.parametrize("change", REQUESTS)
async def test_a_deleted_administrator_changes_no_members(
    core: Core, change: str, deleted: list[str]
) -> None:
    core.hsm.members = cluster = SlowCluster()
    answer = asked(core, REQUESTS[change], LEAVER)
    await asyncio.wait_for(cluster.asked.wait(), 60)
    for user in deleted:
        assert (await core.request("DELETE", f"/users/{user}", user=ADMIN)).status == 204
    cluster.may_answer.set()
    assert ((await answer).status == 401) == bool(deleted)
    assert cluster.changes == ([] if deleted else [change])


@pytest.mark.parametrize("deleted", [["leaver"], []])
async def test_a_deleted_administrator_joins_no_cluster(core: Core, deleted: list[str]) -> None:
    core.hsm.joins = cluster = SlowCluster()
    backup_key = derive_unlock_key(Secret(PASSPHRASE.encode()), SALT)
    wanted = {
        "members": [{"name": "first", "urls": URLS}, {"name": "", "urls": ["https://b:2380"]}],
        "joinerKit": make_kit(backup_key, SALT, unlock_salt=SALT, locked_domain_key=b"wrapped"),
        "backupPassphrase": PASSPHRASE,
    }
    async with core.hsm.changing:  # The join waits for it.
        answer = asked(core, ("POST", "/cluster/join", wanted), LEAVER)
        await asyncio.sleep(0)
        for user in deleted:
            deletion = core.request("DELETE", f"/users/{user}", user=ADMIN)
            assert (await asyncio.wait_for(deletion, 60)).status == 204
    assert (await answer).status == (401 if deleted else 204)
    assert cluster.changes == ([] if deleted else ["joined"])
