"""`keystead cluster force-new` on the data of a real etcd member whose others are lost."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from keystead.__main__ import main
from keystead.errors import StartRefused
from keystead.etcd.write_ahead_log import committed_index
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import InClear
from keystead.processes.etcd.member import InitialPeer, MemberDirectory, MemberRecord
from keystead.processes.stderr_log import log_to_stderr
from keystead.processes.supervisor import lone_member
from keystead.processes.supervisor.lone_member import PublishedMember
from keystead.processes.supervisor.membership import Membership
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change
from tests.support.etcd import (
    BINARY,
    CONTROL,
    WAIT_SECONDS,
    Cluster,
    Member,
    PatientClient,
    needs_etcd,
)
from tests.support.server import wait_until

pytestmark = needs_etcd

RECORDS = {f"/0/key/{number:04}": bytes([number % 251]) * 300 for number in range(300)}


class Lost:
    """A data directory of the last member, and what was acknowledged before the others died."""

    def __init__(self, data: Path, others: list[Member]) -> None:
        self.data = data
        self.others = others

    @property
    def directory(self) -> MemberDirectory:
        return MemberDirectory(self.data / "etcd")

    def command(self, *options: str, etcd: Path = BINARY) -> list[str]:
        config = self.data.parent / "keystead.toml"
        config.write_text(f'data = "data"\n[cluster]\netcd = "{etcd}"\n')
        return ["cluster", *options, f"--config={config}"]

    def run(self, *options: str, etcd: Path = BINARY) -> int:
        return main(self.command("force-new", *options, etcd=etcd))

    def records(self) -> dict[str, bytes]:
        """Leave the cluster, and return what is in SQLite then."""
        assert main(self.command("leave")) == 0

        async def read() -> dict[str, bytes]:
            store = SqliteStore(self.data / "keystead.db")
            found = await store.scan("/0/", "/00", limit_bytes=2**30)
            await store.close()
            return {record.path: record.entry.value for record in found}

        return asyncio.run(read())


async def fill(member: Member) -> None:
    store = EtcdStore(PatientClient(str(member.socket)), device="keystead-test")
    await asyncio.gather(*(store.commit([Change(*record)]) for record in RECORDS.items()))
    await store.close()


async def own_record(data: DataDirectory) -> None:
    _ = data.device_key(InClear()).fetch(store_exists=False).settle(None)
    store = SqliteStore(data.database)
    await store.commit([Change("/local/device/config/one", b"own")])
    await store.close()


def is_leader(member: Member) -> bool:
    fields = status(member)
    return fields["MemberID"] == fields["Leader"]


async def one_more_change(member: Member) -> None:
    """Make another change: etcd's log tells only then that those before are committed."""
    store = EtcdStore(PatientClient(str(member.socket)), device="keystead-test")
    await store.commit([Change("/9/later", b"later")])
    await store.close()


def status(member: Member) -> dict[str, str]:
    told = subprocess.run(  # noqa: S603  the binary is ours
        [CONTROL, f"--endpoints=unix://{member.socket}", "endpoint", "status", "-w", "fields"],
        capture_output=True,
        check=True,
        text=True,
    )
    fields = (line.split(" : ") for line in told.stdout.splitlines() if " : " in line)
    return {name.strip('"'): value for name, value in fields}


def taken_over(data: Path, cluster: Cluster, last: Member) -> Lost:
    """The etcd of `last` as the member of a data directory."""
    directory = DataDirectory.open(data)
    asyncio.run(own_record(directory))
    member = MemberDirectory(directory.etcd)
    peers = [InitialPeer(one.name, [one.url]) for one in cluster.members]
    member.begin(MemberRecord(last.name, peers, "existing"))
    shutil.copytree(last.directory, member.path / "data")
    directory.close()
    return Lost(data, [one for one in cluster.members if one is not last])


@pytest.fixture
def cluster():
    with Cluster(3) as running:
        asyncio.run(fill(running.members[0]))
        yield running


@pytest.fixture(scope="module")
def stopped():
    """Three members that were stopped in good order. Nothing may start them again."""
    with Cluster(3) as cluster:
        asyncio.run(fill(cluster.members[0]))
        for member in cluster.members:
            member.stop()
        yield cluster


@pytest.fixture
def lost(stopped, tmp_path) -> Lost:
    """The last of three members."""
    return taken_over(tmp_path / "data", stopped, stopped.members[2])


def test_the_last_member_goes_on_alone_with_all_records(lost, capsys):
    assert lost.run("--others-are-lost") == 0
    said = capsys.readouterr().out
    assert all(other.url in said for other in lost.others)
    record = lost.directory.record()
    assert [peer.name for peer in record.peers] == ["m2"]
    assert [path.name for path in lost.directory.path.glob("data*")] == [record.directory]
    assert lost.run("--others-are-lost") == 1
    assert "the only member of its cluster already" in capsys.readouterr().err
    assert lost.records() == RECORDS


def test_what_is_known_to_be_committed_is_there_when_all_were_killed_at_once(cluster, tmp_path):
    (leader,) = filter(is_leader, cluster.members)
    applied = int(status(leader)["RaftAppliedIndex"])
    asyncio.run(one_more_change(leader))
    wait_until(lambda: committed_index(leader.directory) >= applied, seconds=60)
    for member in cluster.members:
        member.process.kill()
    for member in cluster.members:
        member.kill()
    lost = taken_over(tmp_path / "data", cluster, leader)
    assert lost.run("--others-are-lost") == 0
    assert lost.records() == RECORDS


def test_nothing_changes_before_someone_says_that_the_others_are_lost(lost, capsys):
    before = lost.directory.record()
    assert lost.run() == 1
    said = capsys.readouterr().err
    assert all(other.url in said for other in lost.others)
    assert "--others-are-lost" in said
    assert lost.directory.record() == before


def test_others_that_can_be_reached_are_not_taken_for_lost(lost, capsys):
    before = lost.directory.record()
    port = int(lost.others[0].url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert lost.run("--others-are-lost") == 1
        said = capsys.readouterr().err
        assert lost.others[0].url in said
        assert lost.others[1].url not in said
        assert "--ignore-reached" in said
        assert lost.directory.record() == before
        assert lost.run("--others-are-lost", "--ignore-reached") == 0
    assert lost.records() == RECORDS


def prepared(lost: Lost) -> bool:
    return (lost.directory.path / "alone.json").exists()


def restored(lost: Lost) -> bool:
    return bool(list(lost.directory.path.glob("data-*/member/snap/db")))


def serving(lost: Lost) -> bool:
    return bool(list(lost.directory.path.glob("data-*/member/wal/*.tmp")))


def starting(lost: Lost) -> bool:
    return (lost.directory.path / "client.sock").exists()


@pytest.mark.parametrize("reached", [starting, prepared, restored, serving])
def test_a_crash_leaves_a_member_with_all_records_that_can_go_on(lost, reached):
    before = lost.directory.record()
    command = lost.command("force-new", "--others-are-lost")
    process = subprocess.Popen([sys.executable, "-m", "keystead", *command])  # noqa: S603
    wait_until(lambda: reached(lost), seconds=60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if lost.directory.record() == before:  # Else this test was too slow to interrupt it.
        assert lost.run("--others-are-lost") == 0
    assert not prepared(lost)
    assert lost.records() == RECORDS


def test_a_start_removes_what_a_crash_has_left(lost):
    with closing(DataDirectory.open(lost.data)) as data:
        old = lost.directory
        new = old.prepare(
            MemberRecord("m2", [InitialPeer("m2", ["https://h:1"])], directory="data-" + "0" * 16)
        )
        shutil.copytree(old.path / "data", old.path / new.record().directory)
        Membership(data, BINARY, log_to_stderr("test"), ())
        assert sorted(path.name for path in old.path.iterdir()) == ["data", "member.json"]

        new = old.prepare(
            MemberRecord("m2", [InitialPeer("m2", ["https://h:1"])], directory="data-" + "0" * 16)
        )
        shutil.copytree(old.path / "data", old.path / new.record().directory)
        new.bring_into_force()
        Membership(data, BINARY, log_to_stderr("test"), ())
        names = sorted(path.name for path in old.path.iterdir())
        assert names == ["data-" + "0" * 16, "member.json"]


def test_a_link_in_place_of_the_directory_leads_nowhere(lost, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    lost.directory.path.rename(elsewhere)
    (elsewhere / "data-0123456789abcdef").mkdir()
    lost.directory.path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="Not a directory"):
        lost.directory.remove_leftovers()
    assert (elsewhere / "data-0123456789abcdef").exists()


@pytest.mark.parametrize("name", ["../data", "data-1", "/etc", ""])
def test_a_record_with_other_data_is_damaged(lost, name, capsys):
    path = lost.directory.path / "member.json"
    path.write_text(path.read_text().replace('"directory":"data"', f'"directory":"{name}"'))
    assert lost.run("--others-are-lost") == 1
    assert "is damaged" in capsys.readouterr().err


def test_a_member_that_others_removed_does_not_go_on_alone(cluster, tmp_path, capsys):
    first, _, last = cluster.members
    listed = subprocess.run(  # noqa: S603
        [CONTROL, f"--endpoints=unix://{first.socket}", "member", "list"],
        capture_output=True,
        check=True,
        text=True,
    )
    (number,) = (row.split(",")[0] for row in listed.stdout.splitlines() if " m2," in row)
    remove = [CONTROL, f"--endpoints=unix://{first.socket}", "member", "remove", number]
    # For some seconds after its start, a cluster takes itself for too weak to lose a member.
    wait_until(lambda: subprocess.run(remove, check=False).returncode == 0, seconds=60)  # noqa: S603
    last.process.wait(WAIT_SECONDS)
    lost = taken_over(tmp_path / "data", cluster, last)
    assert lost.run("--others-are-lost") == 1
    assert "have removed this one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ([PublishedMember(1, "m0")], "have removed this one"),
        ([PublishedMember(1, "m0"), PublishedMember(2, "m2", is_learner=True)], "not a full"),
        ([PublishedMember(2, "m2")], "the only member"),
    ],
)
def test_what_the_member_list_says_of_this_one_is_told(listed, why):
    with pytest.raises(StartRefused, match=why):
        lone_member._present(listed, "m2")  # noqa: SLF001 - etcd seldom lists others alone


def test_who_is_in_no_cluster_forces_none(tmp_path, capsys):
    DataDirectory.open(tmp_path / "data").close()
    assert Lost(tmp_path / "data", []).run("--others-are-lost") == 1
    assert "not a member of a cluster" in capsys.readouterr().err


def test_without_etcdutl_nothing_is_tried(lost, tmp_path, capsys):
    etcd = tmp_path / "etcd"
    etcd.symlink_to(BINARY)
    assert lost.run("--others-are-lost", etcd=etcd) == 1
    assert "Debian has it in etcd-client" in capsys.readouterr().err


def test_an_etcdutl_that_fails_changes_nothing(lost, tmp_path, capsys):
    etcd, restorer = tmp_path / "etcd", tmp_path / "etcdutl"
    etcd.symlink_to(BINARY)
    before = lost.directory.record()
    for text in ("#!/bin/false\n", "no program\n"):
        restorer.write_text(text)
        restorer.chmod(0o755)
        assert lost.run("--others-are-lost", etcd=etcd) == 1
        assert "etcdutl has made no new member" in capsys.readouterr().err
        assert lost.directory.record() == before
