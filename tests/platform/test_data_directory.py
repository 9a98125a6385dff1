"""The data directory: one owner, nothing foreign touched, and a reset that no crash undoes."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.errors import DecryptionFailed, StartRefused
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import InClear
from keystead.sealing import envelope
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change
from tests.support.disk_steps import die_at


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def tree(path):
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file()}


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path):
    directory = DataDirectory.open(tmp_path / "data")
    assert mode(tmp_path / "data") == 0o700
    assert directory.database.parent == tmp_path / "data"
    directory.close()


def test_an_empty_directory_is_taken_and_closed_to_others(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "lost+found").mkdir()
    DataDirectory.open(tmp_path).close()
    assert mode(tmp_path) == 0o700


def test_a_used_directory_opens_again(tmp_path):
    for _ in range(2):
        DataDirectory.open(tmp_path).close()


def test_a_directory_with_other_things_is_refused_untouched(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(StartRefused, match="something other"):
        DataDirectory.open(tmp_path)
    assert tree(tmp_path) == {"thesis.tex": b"important"}
    assert mode(tmp_path) == 0o755


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StartRefused, match="not a directory"):
        DataDirectory.open(tmp_path / "data")
    assert (tmp_path / "data").read_text() == "a file"


def test_a_directory_without_a_parent_is_refused(tmp_path):
    with pytest.raises(StartRefused, match="No such file"):
        DataDirectory.open(tmp_path / "no" / "data")
    assert tree(tmp_path) == {}


def as_somebody_else(action) -> int:
    """Run `action` in a process without root's powers, and return its exit code."""
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        os._exit(action())
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_an_unreadable_directory_is_refused(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0)

    def start() -> int:
        try:
            DataDirectory.open(data)
        except StartRefused as refusal:
            return 7 if "Permission denied" in str(refusal) else 8
        return 9

    assert as_somebody_else(start) == 7
    data.chmod(0o700)


def test_a_directory_in_use_is_refused_and_names_its_user(tmp_path):
    first = DataDirectory.open(tmp_path)
    with pytest.raises(StartRefused, match=rf"in use by another keystead \(pid {os.getpid()}\)"):
        DataDirectory.open(tmp_path)
    first.close()
    DataDirectory.open(tmp_path).close()


def test_the_lock_ends_with_the_process_however_it_ends(tmp_path):
    script = (
        "import os, sys; from pathlib import Path\n"
        "from keystead.platform.data_directory import DataDirectory\n"
        "held = DataDirectory.open(Path(sys.argv[1]))\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(  # noqa: S603  our own interpreter and script
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StartRefused, match=rf"pid {holder.pid}"):
            DataDirectory.open(tmp_path)
        holder.kill()
    DataDirectory.open(tmp_path).close()


def test_whoever_inherits_the_lock_holds_it_too(tmp_path):
    directory = DataDirectory.open(tmp_path)
    inherited = os.dup(directory.fileno())
    directory.close()
    with pytest.raises(StartRefused, match="in use"):
        DataDirectory.open(tmp_path)
    os.close(inherited)
    DataDirectory.open(tmp_path).close()


# --- factory reset -----------------------------------------------------------------------------

PATH = "/secret"
IN_CLEAR = InClear()


def provision(path: Path) -> bytes:
    """Fill a data directory with a record, and return its device key."""
    directory = DataDirectory.open(path)
    key = directory.device_key(IN_CLEAR).fetch(store_exists=False).settle(None)
    asyncio.run(write(directory.database, Change(PATH, envelope.seal(key, PATH, b"record"))))
    directory.close()
    return key.reveal()


async def write(database: Path, change: Change) -> None:
    store = SqliteStore(database)
    await store.commit([change])
    await store.close()


async def read(database: Path) -> bytes | None:
    store = SqliteStore(database)
    entry = await store.get(PATH)
    await store.close()
    return None if entry is None else entry.value


def readable(path: Path) -> bool:
    """Whether the record opens in a server started on the directory."""
    directory = DataDirectory.open(path)
    try:
        exists = directory.database.exists()
        key = directory.device_key(IN_CLEAR).fetch(store_exists=exists).settle(None)
        sealed = asyncio.run(read(directory.database)) if exists else None
        if sealed is None:
            return False
        return envelope.unseal(key, PATH, sealed) == b"record"
    except DecryptionFailed:
        return False
    finally:
        directory.close()


def test_without_a_reset_the_record_stays_readable(tmp_path):
    provision(tmp_path)
    assert readable(tmp_path)


def test_a_reset_leaves_nothing_but_the_lock(tmp_path):
    key = provision(tmp_path)
    directory = DataDirectory.open(tmp_path)
    directory.reset()
    directory.close()
    assert list(tree(tmp_path)) == ["keystead.lock"]
    assert not readable(tmp_path)
    assert (tmp_path / "device.key").read_bytes() != key


def test_a_reset_removes_the_etcd_of_a_cluster(tmp_path):
    provision(tmp_path)
    directory = DataDirectory.open(tmp_path)
    (directory.etcd / "data").mkdir(parents=True)
    (directory.etcd / "data" / "records").write_text("sealed")
    directory.reset()
    directory.close()
    assert list(tree(tmp_path)) == ["keystead.lock"]


def test_a_reset_destroys_the_key_whatever_provider_kept_it(tmp_path):
    provision(tmp_path)
    directory = DataDirectory.open(tmp_path)
    for provider in ("", ".credential", ".tpm2"):
        for companion in ("", ".next", ".new", ".next.new"):
            (tmp_path / f"device.key{provider}{companion}").write_bytes(b"sealed")
    directory.reset()
    directory.close()
    assert list(tree(tmp_path)) == ["keystead.lock"]


def test_a_reset_that_was_begun_is_finished_by_the_next_start(tmp_path):
    key = provision(tmp_path)
    directory = DataDirectory.open(tmp_path)
    directory.begin_reset()
    directory.begin_reset()
    directory.close()
    DataDirectory.open(tmp_path).close()
    assert list(tree(tmp_path)) == ["keystead.lock"]
    assert not readable(tmp_path)
    assert (tmp_path / "device.key").read_bytes() != key


def test_a_reset_that_cannot_be_finished_refuses_the_start(tmp_path):
    provision(tmp_path)
    directory = DataDirectory.open(tmp_path)
    directory.begin_reset()
    directory.close()
    (tmp_path / "device.key").unlink()
    (tmp_path / "device.key").mkdir()
    for _ in range(2):
        with pytest.raises(StartRefused, match=r"factory reset .* cannot be finished"):
            DataDirectory.open(tmp_path)
    (tmp_path / "device.key").rmdir()
    assert not readable(tmp_path)


def reset_until(path: Path, step: int) -> bool:
    """Reset in a process that dies before its disk operation `step`; True if it got through."""
    child = os.fork()
    if child == 0:
        directory = DataDirectory.open(path)
        die_at(step)
        directory.reset()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_a_reset_interrupted_anywhere_is_whole_or_never_began(tmp_path):
    step, began = 0, []
    while True:
        data = tmp_path / str(step)
        key = provision(data)
        finished = reset_until(data, step)
        marked = (data / "reset.pending").exists()
        gone = not (data / "device.key").exists()
        began.append(marked or gone)
        assert readable(data) == (not marked and not gone)
        if began[-1]:
            assert (data / "device.key").read_bytes() != key
            assert not (data / "reset.pending").exists()
        if finished:
            break
        step += 1
    assert began == sorted(began)
    assert began.count(True) > 10
