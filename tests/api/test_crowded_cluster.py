"""A member whose etcd is almost full: what is in the way can be deleted, and nothing is added."""

import asyncio
import contextlib

from tests.support.core import ADMIN, b64
from tests.support.etcd import Cluster, PatientClient, needs_etcd
from tests.support.member_cores import Device, core_of

pytestmark = needs_etcd

KEY = {"type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}
SIGN = {"mode": "EdDSA", "message": b64(b"text")}
DELETED = ("/keys/old", "/users/old", "/namespaces/old")


async def add_all(core):
    """Return the statuses of changes that add something."""
    wanted = {"realName": "new", "role": "Operator", "passphrase": "passphrase of new"}
    asked = [
        ("POST", "/keys/generate", {**KEY, "id": "new"}),
        ("PUT", "/users/new", wanted),
        ("PUT", "/keys/k/restrictions/tags/new", None),
    ]
    return [
        (await core.request(method, path, user=ADMIN, json=json)).status
        for method, path, json in asked
    ]


def test_in_an_almost_full_database_records_are_deleted_and_none_added():
    async def main(member):
        async with contextlib.AsyncExitStack() as stack:
            client = PatientClient(str(member.socket))
            core = await stack.enter_async_context(core_of(Device("m"), client, seconds=5.0))
            stack.push_async_callback(core.hsm.stop)
            await core.provision()
            operator = await core.add_user("op", "Operator")
            await core.add_user("old", "Operator")
            await core.add_namespace("old")
            for key_id in ("k", "old"):
                await core.generate(key_id, KEY["type"], *KEY["mechanisms"])

            core.shared.is_crowded = True
            assert await add_all(core) == [503] * 3
            assert "almost full" in core.hsm.alarm.reason
            signed = await core.request("POST", "/keys/k/sign", user=operator, json=SIGN)
            assert signed.status == 200
            # Each is answered after the time for which other members may answer from memory.
            deleting = [core.request("DELETE", path, user=ADMIN) for path in DELETED]
            assert [answer.status for answer in await asyncio.gather(*deleting)] == [204] * 3
            assert await add_all(core) == [503] * 3

            core.shared.is_crowded = False
            assert await add_all(core) == [201, 201, 204]
            await core.hsm.store.commit([])  # As is tried every few seconds.
            assert core.hsm.alarm.reason is None

    with Cluster(1) as cluster:
        asyncio.run(main(cluster.members[0]))
