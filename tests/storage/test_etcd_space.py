"""An etcd whose database has reached its quota: what goes on, and what an operator does."""

import asyncio
import json
import os
import subprocess

import pytest

from keystead.errors import WriteRefused
from keystead.processes.etcd.member import InitialPeer, MemberDirectory, MemberRecord
from keystead.processes.supervisor import doctor
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.key_value_store import Change
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


def in_store(member, scenario):
    async def main():
        store = EtcdStore(PatientClient(str(member.socket)), device="0123456789")
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(main())


async def fill(store):
    """Replace one record until etcd refuses: old revisions need room too."""
    await store.commit([Change("/a", b"kept")])
    parts = [Change("/b", PART)] * (QUOTA_BYTES // len(PART) * 2)
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


def test_an_etcd_that_does_not_run_is_said_to_be_silent(member, data):
    member.stop()
    (finding,) = doctor.etcd_database(data)
    assert "does not answer" in finding.text


def test_an_hsm_that_is_no_cluster_has_no_database_of_etcd(tmp_path):
    assert list(doctor.etcd_database(tmp_path)) == []
