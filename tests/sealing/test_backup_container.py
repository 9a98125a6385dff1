"""The backup container: what the official reader makes of ours, and what we refuse of others."""

import asyncio
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nethsm.backup import EncryptedBackup

from keystead.errors import InvalidInput
from keystead.model.secret import Secret
from keystead.sealing import backup, envelope
from keystead.sealing.passphrase import derive_unlock_key

BACKUPS = Path(__file__).parents[1] / "vectors" / "nethsm-backups"
PASSPHRASE = "backup passphrase"
SALT = bytes(range(16))
KEY = derive_unlock_key(Secret(PASSPHRASE.encode()), SALT)
LOCKED = bytes(range(60))
LOCAL_KEY = Secret(bytes(range(32)))
DEVICE = "ABCDEFGHIJ"

RECORDS = [("/key/mykey", b"sealed"), ("/config/version", b"1"), ("/empty", b"")]


def container(records=RECORDS):
    writer = backup.BackupWriter(KEY, SALT)
    head = writer.head(locked_domain_key=LOCKED, device_id=DEVICE, local_config_key=LOCAL_KEY)
    return head + b"".join(writer.record(*record) for record in records) + writer.end()


def sealed(purpose, plaintext):
    content = envelope.seal(KEY, purpose, plaintext)
    return len(content).to_bytes(3) + content


def version_0(records=RECORDS):
    """The same in version 0, which we do not write."""
    writer = backup.BackupWriter(KEY, SALT)
    head = backup.MAGIC + b"\0" + b"\0\0\x10" + SALT
    head += sealed("backup-version", b"\0") + sealed("domain-key", LOCKED)
    return head + b"".join(writer.record(*record) for record in records)


def read(file, key=KEY, *, size=None):
    """Return the salt, the origin and the records, from parts of `size` bytes."""

    async def parts():
        step = size or max(len(file), 1)
        for start in range(0, len(file), step):
            yield file[start : start + step]

    async def main():
        reader = backup.BackupReader(parts())
        salt = await reader.opening()
        origin = await reader.origin(key)
        return salt, origin, [record async for record in reader.records()]

    return asyncio.run(main())


@given(
    records=st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.binary())),
    size=st.integers(1, 100),
)
def test_a_container_reads_back_however_it_is_cut(records, size):
    salt, origin, found = read(container(records), size=size)
    assert (salt, found) == (SALT, records)
    assert (origin.locked_domain_key, origin.device_id) == (LOCKED, DEVICE)
    assert origin.local_config_key.reveal() == LOCAL_KEY.reveal()


def test_the_official_reader_opens_what_we_write():
    opened = EncryptedBackup.parse(container()).decrypt(PASSPHRASE)
    assert (opened.version, opened.domain_key) == (1, LOCKED)
    assert opened.backup_device_id == DEVICE.encode()
    assert opened.backup_config_store_key == LOCAL_KEY.reveal()
    assert opened.data == dict(RECORDS)


def test_version_0_is_read():
    _, origin, found = read(version_0(), size=7)
    assert (origin.locked_domain_key, found) == (LOCKED, RECORDS)
    assert origin.device_id is None
    assert origin.local_config_key is None


@pytest.mark.parametrize(
    ("name", "passphrase"),
    [("my_backup.bin", "BackupPassphrase"), ("sdk_v1.bin", "backupbackup")],
)
def test_files_of_real_devices_read_as_by_the_official_reader(name, passphrase):
    file = (BACKUPS / name).read_bytes()
    theirs = EncryptedBackup.parse(file)
    key = derive_unlock_key(Secret(passphrase.encode()), theirs.salt)
    _, origin, found = read(file, key, size=100)
    opened = theirs.decrypt(passphrase)
    assert dict(found) == opened.data
    assert origin.locked_domain_key == opened.domain_key


def test_a_wrong_passphrase_is_told_from_a_foreign_file():
    with pytest.raises(InvalidInput, match="passphrase is wrong"):
        read(container(), Secret(bytes(32)))
    with pytest.raises(InvalidInput, match="not a NetHSM backup"):
        read(b"PK\x03\x04" + bytes(100))


@pytest.mark.parametrize("version", [2, 3, 255])
def test_a_newer_version_is_refused(version):
    file = bytearray(container())
    file[len(backup.MAGIC)] = version
    with pytest.raises(InvalidInput, match=f"version {version}"):
        read(bytes(file))


def test_a_container_cut_anywhere_is_refused():
    file = container()
    for length in range(len(file)):
        with pytest.raises(InvalidInput):
            read(file[:length])


def test_a_version_0_file_cut_inside_a_record_is_refused():
    whole = version_0()
    ends = {len(version_0(RECORDS[:count])) for count in range(len(RECORDS) + 1)}
    for length in set(range(len(whole))) - ends:
        with pytest.raises(InvalidInput):
            read(whole[:length])


@given(data=st.binary(min_size=1, max_size=40))
def test_a_file_that_goes_on_is_refused(data):
    for file in (container(), version_0()):
        with pytest.raises(InvalidInput):
            read(file + data)


@pytest.mark.parametrize("make", [container, version_0])
def test_every_flipped_bit_is_detected(make):
    file = make()
    for index in range(len(file)):
        for bit in range(8):
            damaged = bytearray(file)
            damaged[index] ^= 1 << bit
            if _is_in_salt(index):
                continue  # It changes the derived key, which this test does not derive.
            with pytest.raises(InvalidInput):
                read(bytes(damaged))


def _is_in_salt(index):
    start = len(backup.MAGIC) + 4
    return start <= index < start + len(SALT)


def test_another_salt_gives_another_key():
    assert derive_unlock_key(Secret(PASSPHRASE.encode()), SALT[::-1]).reveal() != KEY.reveal()


@given(noise=st.binary(max_size=200))
@settings(max_examples=300)
def test_noise_is_refused_and_nothing_worse(noise):
    for start in (b"", backup.MAGIC + b"\1", backup.MAGIC + b"\0", container()[:200]):
        with pytest.raises(InvalidInput):
            read(start + noise)


def test_a_length_takes_no_memory_before_its_bytes_arrive():
    file = container([])[: -len(backup.TRAILER) - 3] + backup.MAX_RECORD_BYTES.to_bytes(3)
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="truncated"):
        read(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < backup.MAX_RECORD_BYTES // 4


def test_a_field_over_the_limit_is_refused_at_its_length():
    file = container([])[: -len(backup.TRAILER) - 3] + b"\xff\xff\xff"
    with pytest.raises(InvalidInput, match="is over"):
        read(file)
    with pytest.raises(InvalidInput, match="is over"):
        read(backup.MAGIC + b"\1" + b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"locked_domain_key": LOCKED[:-1]}, "no domain key"),
        ({"device_id": ""}, "which device"),
        ({"device_id": "../x"}, "which device"),
        ({"local_config_key": Secret(b"short")}, "which device"),
    ],
)
def test_an_origin_that_makes_no_sense_is_refused(change, problem):
    writer = backup.BackupWriter(KEY, SALT)
    fields = {"locked_domain_key": LOCKED, "device_id": DEVICE, "local_config_key": LOCAL_KEY}
    with pytest.raises(InvalidInput, match=problem):
        read(writer.head(**(fields | change)) + writer.end())


@pytest.mark.parametrize("record", [b"", b"\0\0", b"\0\0\5abc", b"\0\0\1\xff"])
def test_a_record_without_a_path_is_refused(record):
    writer = backup.BackupWriter(KEY, SALT)
    file = container([])[: -len(writer.end())] + sealed("backup", record) + writer.end()
    with pytest.raises(InvalidInput, match="damaged"):
        read(file)
