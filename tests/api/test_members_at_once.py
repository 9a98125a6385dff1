"""Two members of a cluster at once: one takes away or replaces what the other uses."""

import asyncio
import contextlib

from tests.api.test_cluster_on_etcd import (
    BACKUP,
    OPERATOR,
    SECONDS,
    SIGN,
    in_cluster,
    sign,
    until,
)
from tests.support import backups
from tests.support.core import ADMIN, UNLOCK, b64
from tests.support.etcd import Cluster, PatientClient, needs_etcd
from tests.support.member_cores import Device, core_of

pytestmark = needs_etcd

MOST_SIGNATURES = 10_000


async def statuses_until(ask, last):
    """Ask one time after the other until this status comes. Return all statuses."""
    seen = []
    while last not in seen:
        assert len(seen) < MOST_SIGNATURES, set(seen)
        seen.append((await ask()).status)
        await asyncio.sleep(0.001)  # News comes in meanwhile.
    return seen


def test_what_one_member_takes_away_ends_on_another_that_uses_it_and_does_not_come_back():
    async def scenario(members):
        first, second, third = members.cores
        await first.add_user("op", "Operator")
        for name in ("deleted", "moved", "forbidden", "kept"):
            await first.generate(name, "Curve25519", "EdDSA_Signature")
        for method, path, json, name, status in (
            ("DELETE", "/keys/deleted", None, "deleted", 404),
            ("POST", "/keys/moved/move", {"newId": "elsewhere"}, "moved", 404),
            ("PUT", "/keys/forbidden/restrictions/tags/blue", None, "forbidden", 403),
            ("DELETE", "/users/op", None, "kept", 401),
        ):
            for core in (second, third):
                await until(lambda core=core, name=name: sign(core, name), 200)
            members.begin(first, method, path, user=ADMIN, json=json)
            seen = await asyncio.gather(
                *(
                    statuses_until(lambda core=core, name=name: sign(core, name), status)
                    for core in (second, third)
                )
            )
            for core, statuses in zip((second, third), seen, strict=True):
                assert set(statuses) <= {200, status}, (path, set(statuses))
                core.clock.advance(2)  # A wrong login is braked for a second.
                assert (await sign(core, name)).status == status

    in_cluster(scenario)


def test_of_two_keys_under_one_id_one_is_on_all_members():
    async def scenario(members):
        await members.cores[0].add_user("op", "Operator")

        def bring(core, number):
            private = bytes([members.cores.index(core) * 10 + number]) * 32
            wanted = {
                "type": "Curve25519",
                "mechanisms": ["EdDSA_Signature"],
                "private": {"data": b64(private)},
            }
            return core.request("PUT", "/keys/same", user=ADMIN, json=wanted)

        statuses = await members.ask_all(3, bring)
        assert min(statuses) in {201, 204}
        assert sorted(statuses)[1:] == [409] * 8
        signatures = [
            (await until(lambda core=core: sign(core, "same"), 200)).body for core in members.cores
        ]
        assert len(set(signatures)) == 1

    in_cluster(scenario)


def test_restores_on_two_members_at_once_leave_one_state_while_a_third_signs():
    async def scenario(members):
        first, second, third = members.cores
        await first.add_user("op", "Operator")
        keeper = await first.add_user("keeper", "Backup")
        await first.generate("k", "Curve25519", "EdDSA_Signature")
        assert await backups.set_passphrase(first, BACKUP) == 204
        file = await backups.make(first, keeper)
        await second.generate("later", "Curve25519", "EdDSA_Signature")
        await members.each("POST", "/keys/k/sign", user=OPERATOR, json=SIGN, status=200)

        ended = asyncio.Event()
        seen = []

        async def use():
            while not ended.is_set():
                seen.append((await sign(third)).status)
                third.clock.advance(2)
                await asyncio.sleep(0.001)

        using = asyncio.create_task(use())
        restored = await asyncio.gather(
            *(
                backups.restore(core, file, ADMIN, backupPassphrase=BACKUP)
                for core in (first, second)
            )
        )
        ended.set()
        await using
        statuses = {answer.status for answer in restored}
        assert 204 in statuses, [one.body for one in restored]
        assert statuses <= {204, 409}, restored
        assert set(seen) <= {200, 401, 412, 503}, set(seen)
        await members.each("POST", "/keys/k/sign", user=OPERATOR, json=SIGN, status=200)
        await members.each("GET", "/keys/later", user=ADMIN, status=404)
        for place, core in enumerate(members.cores):
            await core.generate(f"after-{place}", "Curve25519", "EdDSA_Signature")
        for core in members.cores:
            for place in range(3):
                await until(
                    lambda core=core, place=place: core.request(
                        "GET", f"/keys/after-{place}", user=ADMIN
                    ),
                    200,
                )

    in_cluster(scenario)


def test_of_two_provisions_of_one_store_one_is_made():
    async def main(cluster):
        async with contextlib.AsyncExitStack() as stack:
            cores = []
            for member in cluster.members[:2]:
                client = PatientClient(str(member.socket))
                core = await stack.enter_async_context(
                    core_of(Device(member.name), client, seconds=SECONDS)
                )
                stack.push_async_callback(core.hsm.stop)
                cores.append(core)
            wanted = {
                "unlockPassphrase": UNLOCK,
                "adminPassphrase": ADMIN[1],
                "systemTime": "2026-01-01T00:00:00Z",
            }
            answers = await asyncio.gather(
                *(core.request("POST", "/provision", json=wanted) for core in cores)
            )
            statuses = [answer.status for answer in answers]
            assert min(statuses) == 204, answers
            assert max(statuses) >= 400, answers
            winner = cores[statuses.index(204)]
            await until(lambda: winner.request("GET", "/keys", user=ADMIN), 200)

    with Cluster(3) as cluster:
        asyncio.run(main(cluster))
