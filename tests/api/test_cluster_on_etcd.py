"""Three members of a real etcd, each with a core: what is done on one is true on the others."""

import asyncio
import contextlib
import time

from keystead.operations.cluster_news import ClusterNews
from keystead.operations.freshness import Freshness
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.etcd_watch import EtcdWatch
from keystead.storage.backends.memory import MemoryStore
from keystead.storage.backends.split import SplitStore
from keystead.storage.key_value_store import Change
from keystead.wire.messages import Freshness as Settings
from tests.support.core import ADMIN, UNLOCK, Clock, b64, start_core
from tests.support.etcd import WAIT_SECONDS, Cluster, PatientClient, needs_etcd

pytestmark = needs_etcd

SECONDS = 20.0
"""Long enough for a busy machine: a member that is not up to date refuses requests."""
SIGN = {"mode": "EdDSA", "message": b64(b"text")}
OPERATOR = ("op", "passphrase of op")


class HeardLater:
    """Passes on news to a core that is not there yet when the watch begins."""

    def __init__(self):
        self.news = None

    def changed(self, paths):
        if self.news:
            self.news.changed(paths)

    def lost(self):
        if self.news:
            self.news.any_changed()

    def up_to_date(self, as_of, *, is_alone):
        if self.news:
            self.news.up_to_date(as_of, is_alone=is_alone)


@contextlib.asynccontextmanager
async def core_on(member, like=None):
    """A core whose shared records are in etcd. Its own are as those of the core `like`."""
    async with contextlib.AsyncExitStack() as stack:
        client, own = PatientClient(str(member.socket)), MemoryStore()
        if like is not None:
            records = await like.store._own.scan("", "\U0010ffff", limit_bytes=10**6)  # noqa: SLF001
            await own.commit([Change(path, entry.value) for path, entry in records])
        shared = EtcdStore(client, device=member.name)
        stack.push_async_callback(shared.close)
        heard = HeardLater()
        watch = EtcdWatch(client, heard, time.monotonic, every_seconds=0.1, is_own=shared.has_made)
        core = await start_core(
            store=SplitStore(shared, own, device=member.name),
            device_key=like and like.device_key,
            clock=Clock(),
            freshness=Freshness(Settings(SECONDS), time.monotonic, watch.confirm_now),
        )
        stack.callback(core.close)
        stack.push_async_callback(core.hsm.stop)
        heard.news = ClusterNews(core.hsm, core.hsm.freshness)
        watching = asyncio.create_task(watch.run())
        stack.callback(watching.cancel)
        yield core


async def until(ask, status):
    """Ask until the answer has this status."""
    end = time.monotonic() + WAIT_SECONDS
    while (answer := await ask()).status != status:
        assert time.monotonic() < end, answer
        await asyncio.sleep(0.05)
    return answer


def test_what_is_made_on_one_member_is_used_and_revoked_on_another():
    async def main(cluster):
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(core_on(cluster.members[0]))
            await first.provision()
            cores = [first]
            for member in cluster.members[1:]:
                core = await stack.enter_async_context(core_on(member, like=first))
                unlock = {"passphrase": UNLOCK}
                assert (await core.request("POST", "/unlock", json=unlock)).status == 204
                cores.append(core)
            await use_and_revoke(cores)

    with Cluster(3) as cluster:
        asyncio.run(main(cluster))


async def use_and_revoke(cores):
    first, second, third = cores

    def sign(core):
        return core.request("POST", "/keys/k/sign", user=OPERATOR, json=SIGN)

    for core in cores:
        await until(lambda core=core: core.request("GET", "/keys", user=ADMIN), 200)
    await first.add_user("op", "Operator")
    await second.generate("k", "Curve25519", "EdDSA_Signature")
    for core in cores:
        assert (await sign(core)).status == 200
    # The key and the credentials are in each member's memory now. The change is heard of there.
    answer = third.request("DELETE", "/keys/k", user=ADMIN)
    deleting = asyncio.create_task(answer)
    for core in cores:
        await until(lambda core=core: sign(core), 404)
    removing = asyncio.create_task(second.request("DELETE", "/users/op", user=ADMIN))
    for core in cores:
        await until(lambda core=core: sign(core), 401)
    deleting.cancel()
    removing.cancel()
    await asyncio.gather(deleting, removing, return_exceptions=True)
