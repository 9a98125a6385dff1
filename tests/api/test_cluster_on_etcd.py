"""Three members of a real etcd, each with a core: what is done on one is true on the others."""

import asyncio
import contextlib
import time
from functools import partial

import pytest

from keystead.api.http.route import ResponseCut
from keystead.etcd import calls
from keystead.etcd.messages import RangeRequest
from keystead.storage.key_value_store import Change
from tests.support import backups, etcd_calls
from tests.support.core import ADMIN, UNLOCK, b64, start_core
from tests.support.etcd import WAIT_SECONDS, Cluster, PatientClient, needs_etcd
from tests.support.member_cores import Device, core_of

pytestmark = needs_etcd

SECONDS = 20.0
"""Long enough for a busy machine: a member that is not up to date refuses requests."""
SIGN = {"mode": "EdDSA", "message": b64(b"text")}
BACKUP = "backup passphrase"
OPERATOR = ("op", "passphrase of op")


async def until(ask, status, lines=()):
    """Ask until the answer has this status. The lines of the log show why it never has."""
    end = time.monotonic() + WAIT_SECONDS
    while (answer := await ask()).status != status:
        assert time.monotonic() < end, (answer, *lines[-10:])
        await asyncio.sleep(0.05)
    return answer


class Members:
    """Three members of a cluster, and requests to them that are not waited for."""

    def __init__(self, cores, client):
        self.cores = cores
        self._client = client
        self._waiting = []

    def begin(self, core, method, path, **request):
        """Send a revocation. It is answered when all members must know of it, and works before."""
        self._waiting.append(asyncio.create_task(core.request(method, path, **request)))

    async def each(self, method, path, *, status, **request):
        """Ask each member until it gives an answer with this status."""
        for core in self.cores:
            ask = partial(core.request, method, path, **request)
            await until(ask, status, core.log_lines)

    async def ask_all(self, times, ask):
        """Ask all members at once, each so many times, and return the statuses."""
        asked = [ask(core, number) for number in range(times) for core in self.cores]
        return [answer.status for answer in await asyncio.gather(*asked)]

    async def compact(self):
        """Have etcd forget what records were before."""
        now = await self._client.call(calls.RANGE, RangeRequest(b"/", count_only=True))
        _ = await self._client.call(
            etcd_calls.COMPACT, etcd_calls.CompactionRequest(now.header.revision)
        )

    async def end(self):
        """Wait no longer for answers."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        self._waiting.clear()


async def cores_on(members, stack):
    """Return an Operational core on each member, and the client of the last one's etcd.

    The first one is provisioned, and the others join it.
    """
    devices = [Device(member.name) for member in members]
    cores = []
    for device, member in zip(devices, members, strict=True):
        if cores:
            await device.joins(devices[0])
        client = PatientClient(str(member.socket))
        core = await stack.enter_async_context(core_of(device, client, seconds=SECONDS))
        stack.push_async_callback(core.hsm.stop)
        await (unlock(core) if cores else core.provision())
        cores.append(core)
    return cores, client


def in_cluster(scenario):
    """Run a scenario with three members that are provisioned and unlocked."""

    async def main(cluster):
        async with contextlib.AsyncExitStack() as stack:
            cores, client = await cores_on(cluster.members, stack)
            members = Members(cores, client)
            await members.each("GET", "/keys", user=ADMIN, status=200)
            await scenario(members)
            await members.end()
            for core in cores:
                assert not [line for line in core.log_lines if "is not the one" in line]

    with Cluster(3) as cluster:
        asyncio.run(main(cluster))


async def unlock(core):
    assert (await core.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204


def sign(core, key="k", user=OPERATOR):
    return core.request("POST", f"/keys/{key}/sign", user=user, json=SIGN)


def test_what_is_made_on_one_member_is_used_and_revoked_on_another():
    async def scenario(members):
        first, second, third = members.cores
        await first.add_user("op", "Operator")
        await second.generate("k", "Curve25519", "EdDSA_Signature")
        for core in members.cores:
            assert (await sign(core)).status == 200
        # The key and the credentials are in each member's memory now. The change is heard of there.
        members.begin(third, "DELETE", "/keys/k", user=ADMIN)
        await members.each("POST", "/keys/k/sign", user=OPERATOR, json=SIGN, status=404)
        members.begin(second, "DELETE", "/users/op", user=ADMIN)
        await members.each("POST", "/keys/k/sign", user=OPERATOR, json=SIGN, status=401)

    in_cluster(scenario)


def test_members_that_change_at_once_neither_fail_nor_take_each_other_for_an_attack():
    async def scenario(members):
        first, second, third = members.cores

        def make(core, number):
            name = f"k{number}-{members.cores.index(core)}"
            wanted = {"id": name, "type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}
            return core.request("POST", "/keys/generate", user=ADMIN, json=wanted)

        assert set(await members.ask_all(12, make)) == {201}
        for core in members.cores:
            listed = (await core.request("GET", "/keys", user=ADMIN)).json()
            assert len(listed) == 36
        # The same name on all members at once: one of them makes it.
        wanted = {"id": "same", "type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}

        def make_same(core, _number):
            return core.request("POST", "/keys/generate", user=ADMIN, json=wanted)

        assert sorted(await members.ask_all(2, make_same)) == [201, 409, 409, 409, 409, 409]
        await first.add_user("op", "Operator")
        keys = {
            (await core.request("GET", "/keys/same", user=ADMIN)).body for core in members.cores
        }
        assert len(keys) == 1
        # Each has a journal of its own, with what it was asked for.
        await second.add_user("auditor", "Auditor")
        user = ("auditor", "passphrase of auditor")
        for number, core in enumerate(members.cores):
            text = (await core.request("GET", "/journal", user=user)).body.decode()
            assert f'"k3-{number}"' in text
            assert f'"k3-{(number + 1) % 3}"' not in text
        # A member that was locked goes on with what the others have done since.
        assert (await third.request("POST", "/lock", user=ADMIN)).status == 204
        await first.generate("meanwhile", "Curve25519", "EdDSA_Signature")
        await unlock(third)
        await until(lambda: sign(third, "meanwhile"), 200)

    in_cluster(scenario)


def test_limits_policies_tags_approvals_and_namespaces_hold_over_all_members():
    async def scenario(members):
        first, second, third = members.cores
        await first.add_user("op", "Operator")
        for name in ("few", "many", "tagged", "asked"):
            await first.generate(name, "Curve25519", "EdDSA_Signature")
        await uses_are_exact(members)
        restricting = "/keys/tagged/restrictions/tags/blue"
        members.begin(second, "PUT", restricting, user=ADMIN)
        await members.each("POST", "/keys/tagged/sign", user=OPERATOR, json=SIGN, status=403)
        members.begin(first, "PUT", "/users/op/tags/blue", user=ADMIN)
        await members.each("POST", "/keys/tagged/sign", user=OPERATOR, json=SIGN, status=200)
        await approvals_are_shared(members)
        admin = await third.add_namespace("n")
        await members.each("GET", "/keys", user=admin, status=200)
        members.begin(first, "DELETE", "/namespaces/n", user=ADMIN)
        await members.each("GET", "/keys", user=admin, status=403)

    in_cluster(scenario)


async def uses_are_exact(members):
    first, second, third = members.cores
    members.begin(first, "PUT", "/keys/few/policy", user=ADMIN, json={"maxUses": 20})
    await members.each("GET", "/keys/few/policy", user=ADMIN, status=200)
    statuses = await members.ask_all(10, lambda core, _: sign(core, "few"))
    assert sorted(statuses) == [200] * 20 + [403] * 10
    # Each member leases a hundred uses or more, and counts of uses are written meanwhile.
    members.begin(second, "PUT", "/keys/many/policy", user=ADMIN, json={"maxUses": 2000})
    await members.each("GET", "/keys/many/policy", user=ADMIN, status=200)
    for _ in range(3):
        assert set(await members.ask_all(10, lambda core, _: sign(core, "many"))) == {200}
        for core in members.cores:
            await core.hsm.session.flush_counters()
    await members.end()
    for core in (first, second):
        assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    await until(lambda: sign(third, "many"), 200)
    left = (await third.request("GET", "/keys/many/policy", user=ADMIN)).json()["usesLeft"]
    assert left == 2000 - 91
    for core in (first, second):
        await unlock(core)
    await members.each("GET", "/keys", user=ADMIN, status=200)


async def approvals_are_shared(members):
    first, second, third = members.cores
    administrators = [await first.add_user(name, "Administrator") for name in ("one", "two")]
    rule = {"required": 2, "approvers": ["one", "two"], "uses": 3, "validSeconds": 3600}
    members.begin(first, "PUT", "/keys/asked/policy", user=ADMIN, json={"approvals": rule})
    await members.each("GET", "/keys/asked/policy", user=ADMIN, status=200)
    wanted = {"reason": "release 1.2"}
    asked = await second.request("POST", "/keys/asked/approvals", user=OPERATOR, json=wanted)
    assert asked.status == 201, asked
    approve = f"/approvals/{asked.json()['id']}/approve"
    for core, user in zip((first, third), administrators, strict=True):
        await until(lambda core=core, user=user: core.request("POST", approve, user=user), 204)
    await until(lambda: sign(second, "asked"), 200)
    statuses = await members.ask_all(2, lambda core, _: sign(core, "asked"))
    assert statuses.count(200) == 2


def test_a_restore_is_everywhere_at_once_and_needs_the_domain_key_of_the_cluster():
    async def scenario(members):
        first, second, third = members.cores
        await first.add_user("op", "Operator")
        keeper = await first.add_user("keeper", "Backup")
        await first.generate("k", "Curve25519", "EdDSA_Signature")
        assert await backups.set_passphrase(first, BACKUP) == 204
        # This member has an unlock passphrase of its own now, so it wraps the same key otherwise.
        changed = {"newPassphrase": "another passphrase", "currentPassphrase": UNLOCK}
        path = "/config/unlock-passphrase"
        assert (await second.request("PUT", path, user=ADMIN, json=changed)).status == 204
        file = await backups.make(third, keeper)
        await third.generate("later", "Curve25519", "EdDSA_Signature")
        await members.each("GET", "/keys/later", user=ADMIN, status=200)

        assert (await backups.restore(second, file, ADMIN, backupPassphrase=BACKUP)).status == 204
        await members.each("GET", "/keys/later", user=ADMIN, status=404)
        await members.each("POST", "/keys/k/sign", user=OPERATOR, json=SIGN, status=200)
        await third.generate("after", "Curve25519", "EdDSA_Signature")
        await members.each("GET", "/keys/after", user=ADMIN, status=200)

        other = await start_core()
        await other.provision()
        keeper = await other.add_user("keeper", "Backup")
        assert await backups.set_passphrase(other, BACKUP) == 204
        foreign = await backups.make(other, keeper)
        other.close()
        refused = await backups.restore(first, foreign, ADMIN, backupPassphrase=BACKUP)
        assert refused.status == 409, refused
        await members.each("GET", "/keys/after", user=ADMIN, status=200)

    in_cluster(scenario)


def test_a_backup_of_a_member_is_the_state_at_one_revision_while_others_write():
    async def scenario(members):
        first, second, third = members.cores
        keeper = await first.add_user("keeper", "Backup")
        for name in ("moving", "deleted", "kept"):
            await first.generate(name, "Curve25519", "EdDSA_Signature")
        await first.add_user("op", "Operator")
        assert await backups.set_passphrase(first, BACKUP) == 204
        expected = backups.opened(await backups.make(first, keeper)).data.keys()

        _, parts = await backups.begun(first, keeper)
        received = [await anext(parts)]
        # Revocations are answered later, and work now.
        members.begin(second, "DELETE", "/users/op", user=ADMIN)
        members.begin(third, "DELETE", "/keys/deleted", user=ADMIN)
        moved = {"newId": "moved"}
        members.begin(third, "POST", "/keys/moving/move", user=ADMIN, json=moved)
        await members.each("GET", "/keys/moved", user=ADMIN, status=200)
        await members.each("GET", "/keys/deleted", user=ADMIN, status=404)
        await members.each("GET", "/users/op", user=ADMIN, status=404)
        async for part in parts:
            await second.generate(f"k{len(received)}", "Curve25519", "EdDSA_Signature")
            received.append(part)
        assert backups.opened(b"".join(received)).data.keys() == expected

        # What etcd has forgotten ends the backup, and nothing else.
        _, parts = await backups.begun(first, keeper)
        await anext(parts)
        await second.generate("last", "Curve25519", "EdDSA_Signature")
        await members.compact()
        with pytest.raises(ResponseCut):
            _ = [part async for part in parts]
        assert "no longer kept" in first.log_lines[-1]
        assert first.hsm.state.value == "Operational"
        await backups.make(first, keeper)

    in_cluster(scenario)


def test_what_is_known_of_a_members_settings_outlives_a_restore_on_another():
    async def scenario(members):
        first, second, third = members.cores
        keeper = await first.add_user("keeper", "Backup")
        assert await backups.set_passphrase(first, BACKUP) == 204
        file = await backups.make(first, keeper)
        path = f"/local/{third.hsm.device_id}/config/time-offset"

        async def change(core, year):
            time = {"time": f"{year}-01-01T00:00:00Z"}
            return await core.request("PUT", "/config/time", user=ADMIN, json=time)

        assert (await change(third, 2025)).status == 204
        older = await third.store.get(path)
        assert (await change(third, 2026)).status == 204
        present = await third.store.get(path)
        assert (await third.request("POST", "/lock", user=ADMIN)).status == 204

        # Another member changes its own settings at the same time.
        restored, *changed = await asyncio.gather(
            backups.restore(first, file, ADMIN, backupPassphrase=BACKUP),
            *(change(second, year) for year in range(2001, 2009)),
        )
        assert restored.status == 204, restored
        assert {answer.status for answer in changed} <= {204, 409, 412}

        await third.store.commit([Change(path, older.value)])
        refused = await third.request("POST", "/unlock", json={"passphrase": UNLOCK})
        assert (refused.status, "time-offset" in refused.message) == (409, True), refused
        await third.store.commit([Change(path, present.value)])
        await unlock(third)
        await members.each("GET", "/config/time", user=ADMIN, status=200)
        assert (await change(second, 2027)).status == 204
        assert (await second.request("POST", "/lock", user=ADMIN)).status == 204
        await unlock(second)

    in_cluster(scenario)
