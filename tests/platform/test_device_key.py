"""The device key file: made once, never replaced, gone for good when destroyed."""

import os
import stat

import pytest

from keystead.errors import StartRefused
from keystead.platform.device_key import FileDeviceKey


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.key"


def contents(directory):
    return {entry.name: entry.read_bytes() for entry in directory.iterdir()}


def test_the_first_start_makes_a_key_that_only_its_owner_reads(path):
    key = FileDeviceKey(path).obtain(store_holds_records=False)
    assert path.read_bytes() == key.reveal()
    assert len(key.reveal()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(contents(path.parent)) == ["device.key"]


def test_every_later_start_finds_the_same_key(path):
    first = FileDeviceKey(path).obtain(store_holds_records=False)
    for holds_records in (True, False):
        again = FileDeviceKey(path).obtain(store_holds_records=holds_records)
        assert again.reveal() == first.reveal()


def test_two_installations_have_different_keys(tmp_path):
    first, second = (
        FileDeviceKey(tmp_path / name).obtain(store_holds_records=False) for name in "ab"
    )
    assert first.reveal() != second.reveal()


def test_a_missing_key_is_not_made_anew_over_records(path):
    with pytest.raises(StartRefused, match="is missing"):
        FileDeviceKey(path).obtain(store_holds_records=True)
    assert contents(path.parent) == {}


@pytest.mark.parametrize("size", [0, 31, 33, 4096])
@pytest.mark.parametrize("holds_records", [True, False])
def test_a_key_of_the_wrong_size_is_refused_and_kept(path, size, holds_records):
    path.write_bytes(b"k" * size)
    path.chmod(0o600)
    with pytest.raises(StartRefused, match=f"has {size} bytes"):
        FileDeviceKey(path).obtain(store_holds_records=holds_records)
    assert contents(path.parent) == {"device.key": b"k" * size}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(path, mode):
    path.write_bytes(b"k" * 32)
    path.chmod(mode)
    with pytest.raises(StartRefused, match="open to other users"):
        FileDeviceKey(path).obtain(store_holds_records=True)


def test_a_key_that_is_no_regular_file_is_refused(path):
    os.mkfifo(path, 0o600)
    with pytest.raises(StartRefused, match="not a regular file"):
        FileDeviceKey(path).obtain(store_holds_records=False)


def test_a_link_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartRefused):
        FileDeviceKey(path).obtain(store_holds_records=False)
    assert not (tmp_path / "elsewhere").exists()


def test_an_unfinished_key_of_a_crash_is_no_key(path):
    path.with_name("device.key.new").write_bytes(b"half")
    key = FileDeviceKey(path).obtain(store_holds_records=False)
    assert contents(path.parent) == {"device.key": key.reveal()}


def test_no_key_shows_in_an_error(path):
    path.write_bytes(b"topsecret")
    path.chmod(0o600)
    with pytest.raises(StartRefused) as caught:
        FileDeviceKey(path).obtain(store_holds_records=True)
    assert "topsecret" not in str(caught.value)


def test_a_destroyed_key_is_overwritten_before_it_is_removed(path):
    key = FileDeviceKey(path).obtain(store_holds_records=False)
    other_name = path.with_name("link")
    os.link(path, other_name)
    FileDeviceKey(path).destroy()
    assert not path.exists()
    assert other_name.read_bytes() == bytes(32)
    assert FileDeviceKey(path).obtain(store_holds_records=False).reveal() != key.reveal()


def test_a_read_only_key_is_destroyed_too(path):
    FileDeviceKey(path).obtain(store_holds_records=False)
    path.chmod(0o400)
    FileDeviceKey(path).destroy()
    assert contents(path.parent) == {}


def test_destroying_nothing_is_no_error(path):
    FileDeviceKey(path).destroy()
    assert contents(path.parent) == {}
