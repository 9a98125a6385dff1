"""`keystead cluster init` and `leave` on a stopped server, and what refuses them."""

import asyncio
from pathlib import Path

import pytest

from keystead.__main__ import main
from keystead.errors import StartRefused
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import InClear
from keystead.processes.etcd.member import InitialPeer, MemberDirectory, MemberRecord, arguments
from keystead.processes.supervisor.etcd_version import require_version
from keystead.sealing.device import device_id
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change
from tests.support.etcd import BINARY, needs_etcd

URL = "https://hsm.example:2380"
SHARED = {f"/0/key/{number:04}": bytes([number % 251]) * 900 for number in range(1500)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with shared records, and records of its device."""
    directory = DataDirectory.open(tmp_path / "data")
    key = directory.device_key(InClear()).fetch(store_exists=False).settle(None)
    own = {f"/local/{device_id(key)}/config/one": b"own"}
    asyncio.run(fill(directory.database, {**SHARED, **own}))
    directory.close()
    return directory.path


async def fill(database: Path, records: dict[str, bytes]) -> None:
    store = SqliteStore(database)
    await store.commit([Change(path, value) for path, value in records.items()])
    await store.close()


def records(data: Path) -> dict[str, bytes]:
    """What is in SQLite."""

    async def read() -> dict[str, bytes]:
        store = SqliteStore(data / "keystead.db")
        found = await store.scan("", "\U0010ffff", limit_bytes=2**30)
        await store.close()
        return {record.path: record.entry.value for record in found}

    return asyncio.run(read())


def run(data: Path, *arguments: str, etcd: Path | str = BINARY) -> int:
    config = data.parent / "keystead.toml"
    config.write_text(f'data = "data"\n[cluster]\netcd = "{etcd}"\n')
    return main(["cluster", *arguments, f"--config={config}"])


def program(tmp_path: Path, text: str) -> Path:
    made = tmp_path / "etcd"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o700)
    return made


@needs_etcd
def test_shared_records_move_there_and_back_and_own_ones_stay(data, capsys):
    before = records(data)
    own = {path: value for path, value in before.items() if path not in SHARED}
    assert run(data, "init", f"--url={URL}") == 0
    assert capsys.readouterr().out.startswith("1500 records are in etcd now.")
    assert records(data) == own
    assert run(data, "init", f"--url={URL}") == 1
    assert "a member of a cluster already" in capsys.readouterr().err
    assert run(data, "leave") == 0
    assert capsys.readouterr().out.startswith("1500 records are in SQLite again.")
    assert records(data) == before
    assert not list(data.glob("etcd*"))


@needs_etcd
def test_a_record_that_etcd_does_not_take_is_named_and_nothing_changes(data, capsys):
    asyncio.run(fill(data / "keystead.db", {"/0/key/large": bytes(1_600_000)}))
    before = records(data)
    assert run(data, "init", f"--url={URL}") == 1
    said = capsys.readouterr().err
    assert "The record /0/key/large has 1600000 bytes, which is more than etcd takes." in said
    assert records(data) == before
    assert not (data / "etcd").exists()
    asyncio.run(fill(data / "keystead.db", {"/0/key/large": bytes(1_500_000)}))
    assert run(data, "init", f"--url={URL}") == 0


@needs_etcd
def test_a_copy_that_was_interrupted_is_made_again(data):
    before = records(data)
    (data / "etcd.new").mkdir()
    (data / "etcd.new" / "data").write_text("half")
    assert run(data, "init", f"--url={URL}") == 0
    asyncio.run(fill(data / "keystead.db", {"/0/key/left": b"over"}))
    assert run(data, "leave") == 0
    assert records(data) == before


@pytest.mark.parametrize("url", ["http://hsm:2380", "https://hsm", "https://hsm:2380/"])
def test_a_url_that_would_stop_a_cluster_changes_nothing(data, tmp_path, capsys, url):
    etcd = program(tmp_path, "echo etcd Version: 3.6.0")
    before = records(data)
    assert run(data, "init", f"--url={url}", etcd=etcd) == 1
    assert "must be https://host:port" in capsys.readouterr().err
    assert records(data) == before
    assert not list(data.glob("etcd*"))


def test_who_is_in_no_cluster_cannot_leave_one(data, tmp_path, capsys):
    etcd = program(tmp_path, "echo etcd Version: 3.6.0")
    assert run(data, "leave", etcd=etcd) == 1
    assert "not a member of a cluster" in capsys.readouterr().err


def test_a_store_that_was_never_used_forms_no_cluster(tmp_path, capsys):
    etcd = program(tmp_path, "echo etcd Version: 3.6.0")
    (tmp_path / "data").mkdir()
    assert run(tmp_path / "data", "init", f"--url={URL}", etcd=etcd) == 1
    assert "start the server once first" in capsys.readouterr().err


def test_a_configuration_without_an_etcd_is_refused(tmp_path, capsys):
    config = tmp_path / "keystead.toml"
    config.write_text("")
    assert main(["cluster", "leave", f"--config={config}"]) == 1
    assert "it needs [cluster]" in capsys.readouterr().err


def test_a_missing_data_directory_is_refused(tmp_path, capsys):
    etcd = program(tmp_path, "echo etcd Version: 3.6.0")
    assert run(tmp_path / "data", "leave", etcd=etcd) == 1
    assert "There is no data directory" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["3.5.16", "3.5.20", "3.6.0", "3.10.1", "4.0.0"])
def test_versions_from_3_5_16_on_are_taken(tmp_path, version):
    found = require_version(program(tmp_path, f"echo etcd Version: {version}"))
    assert ".".join(map(str, found)) == version


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo etcd Version: 3.5.15", "3.5.15. 3.5.16 or newer is needed"),
        ("echo etcd Version: 3.4.23", "3.4.23. 3.5.16 or newer is needed"),
        ("echo etcdctl version: 3.6.0", "is not etcd"),
        ("exit 1", "is not etcd"),
    ],
)
def test_other_programs_are_refused(tmp_path, text, reason):
    with pytest.raises(StartRefused, match=reason):
        require_version(program(tmp_path, text))


def test_a_program_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StartRefused, match="No such file"):
        require_version(tmp_path / "etcd")


def test_a_member_begins_with_the_members_it_was_told_of(tmp_path):
    directory = MemberDirectory(tmp_path / "etcd")
    peers = [
        InitialPeer("one", ["https://one:1", "https://one:2"]),
        InitialPeer("two", ["https://two:1"]),
    ]
    record = MemberRecord("two", peers, state="existing", token="t")
    directory.begin(record)
    assert directory.exists
    assert directory.record() == record
    options = list(arguments(record, None))
    assert "--name=two" in options
    assert "--initial-advertise-peer-urls=https://two:1" in options
    assert "--initial-cluster=one=https://one:1,one=https://one:2,two=https://two:1" in options
    assert "--initial-cluster-state=existing" in options


def test_a_damaged_record_of_a_member_refuses_the_start(tmp_path):
    directory = MemberDirectory(tmp_path)
    with pytest.raises(StartRefused, match="No such file"):
        directory.record()
    (tmp_path / "member.json").write_text("{")
    with pytest.raises(StartRefused, match="is damaged"):
        directory.record()
