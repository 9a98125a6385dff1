"""An etcd whose database has reached its quota: what goes on, and what an operator does."""

import asyncio
import json
import os
import subprocess

import pytest

from keystead.errors import WriteRefused
from keystead.etcd import calls
from keystead.etcd.errors import EtcdInDoubt, EtcdRefused
from keystead.processes.etcd.member import InitialPeer, MemberDirectory, MemberRecord
from keystead.processes.supervisor import doctor
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.key_value_store import MISSING, Change, Check
from tests.support.etcd import CONTROL, Cluster, PatientClient, needs_etcd

pytestmark = needs_etcd

QUOTA_BYTES = 16 * 2**20
PART = os.urandom(2**20)


@pytest.fixture
def member():
    with Cluster(1, f"--quota-backend-bytes={QUOTA_BYTES}") as cluster:
        yield cluster.members[0]


@pytest.fixture
def data(member, tmp_path):
    """The data directory of an HSM whose etcd is `member`."""
    directory = MemberDirectory(tmp_path / "etcd")
    directory.begin(MemberRecord(member.name, [InitialPeer(member.name, [member.url])]))
    directory.socket.symlink_to(member.socket)
    return tmp_path


class _WrongClient(PatientClient):
    """Has etcd make a commit and then says that it was refused, or loses it on the way."""

    error = None
    is_sent = True

    async def call(self, call, request, **options):
        is_commit = call is calls.TXN and request.compare
        if not is_commit or self.error is None:
            return await super().call(call, request, **options)
        error, self.error = self.error, None
        if self.is_sent:
            await super().call(call, request, **options)
        raise error


def in_store(member, scenario, client=PatientClient):
    async def main():
        store = EtcdStore(client(str(member.socket)), device="0123456789")
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(main())


async def fill(store):
    """Replace one record until etcd refuses: old revisions need room too.

    etcd looks at the size ten times a second, so a fast machine writes more than the quota.
    """
    await store.commit([Change("/a", b"kept")])
    parts = [Change("/b", PART)] * (QUOTA_BYTES // len(PART) * 20)
    with pytest.raises(WriteRefused, match="space exceeded"):
        await write_each(store, parts)
    with pytest.raises(WriteRefused):
        await store.commit([])
    assert (await store.get("/a")).value == b"kept"


async def write_each(store, changes):
    for change in changes:
        await store.commit([change])


async def write(store):
    await store.commit([Change("/c", b"new")])


def control(member, *arguments):
    command = [CONTROL, f"--endpoints=unix://{member.socket}", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return ran.stdout


def test_a_full_store_refuses_changes_until_an_operator_has_made_room(member, data):
    assert not any(finding.is_fault for finding in doctor.etcd_database(data))
    in_store(member, fill)
    faults = [finding.text for finding in doctor.etcd_database(data) if finding.is_fault]
    assert len(faults) == 1
    assert "NOSPACE" in faults[0]
    (status,) = json.loads(control(member, "endpoint", "status", "-w", "json"))
    control(member, "compaction", str(status["Status"]["header"]["revision"]))
    control(member, "defrag")
    control(member, "alarm", "disarm")
    assert not any(finding.is_fault for finding in doctor.etcd_database(data))
    in_store(member, write)


def test_what_etcd_refuses_for_space_after_it_has_made_it_is_known_to_be_made(member):
    """etcd looks at the space again when it makes a change: it makes it, and answers an error."""
    client = _WrongClient(str(member.socket))

    async def scenario(store):
        await store.commit([Change("/a", b"first")])
        client.error = EtcdRefused("etcdserver: mvcc: database space exceeded")
        both = [Change("/a", b"second"), Change("/b", b"new", MISSING)]
        await asyncio.gather(*(store.commit([change]) for change in both))
        assert (await store.get("/a")).value == b"second"
        await store.commit([Change("/a", b"third")])

    in_store(member, scenario, lambda _: client)


def test_of_many_changes_that_meet_the_end_of_the_space_none_is_refused_and_made(member):
    outcomes = {}

    async def write_until_refused(number):
        store = EtcdStore(PatientClient(str(member.socket)), device=f"device{number}")
        path = ""
        while outcomes.get(path) is not WriteRefused:
            path = f"/{number}/{len(outcomes)}"
            try:
                outcomes[path] = await store.commit([Change(path, PART[:50_000], MISSING)])
            except WriteRefused:
                outcomes[path] = WriteRefused
        await store.close()

    async def main():
        await asyncio.gather(*map(write_until_refused, range(6)))

    async def compare(store):
        for path, outcome in outcomes.items():
            assert (await store.get(path) is None) == (outcome is WriteRefused), path

    asyncio.run(main())
    in_store(member, compare)


def test_a_doubt_is_cleared_without_space(member):
    client = _WrongClient(str(member.socket))

    async def scenario(store):
        await fill(store)
        client.error, client.is_sent = EtcdInDoubt("the answer is late"), False
        with pytest.raises(WriteRefused, match="space exceeded"):
            await write(store)

    in_store(member, scenario, lambda _: client)


def test_in_an_almost_full_database_nothing_is_added(member):
    async def scenario(store):
        await store.commit([Change("/a", b"kept"), Change("/b", b"gone")])
        store.is_crowded = True
        for changes in ([], [Change("/c", bytes(65))]):
            with pytest.raises(WriteRefused, match="almost full"):
                await store.commit(changes)
        await store.commit([], checks=[Check("/c", MISSING)])
        await store.commit([Change("/decided/device", bytes(16))])
        await store.commit([Change("/b", None), Change("/0/root", bytes(8192))])
        store.is_crowded = False
        await write(store)

    in_store(member, scenario)


def test_an_etcd_that_does_not_run_is_said_to_be_silent(member, data):
    member.stop()
    (finding,) = doctor.etcd_database(data)
    assert "does not answer" in finding.text


def test_an_hsm_that_is_no_cluster_has_no_database_of_etcd(tmp_path):
    assert list(doctor.etcd_database(tmp_path)) == []
