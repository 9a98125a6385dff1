"""The device key of a data directory: made once, never replaced by mistake, gone when destroyed."""

import os
import stat

import pytest

from keystead.errors import StartRefused
from keystead.model.secret import Secret
from keystead.platform.device_key import DeviceKey, InClear, destroy, kept_here
from keystead.sealing.device import device_id


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.key"


@pytest.fixture
def kept(tmp_path):
    return DeviceKey(tmp_path, InClear())


def contents(directory):
    return {entry.name: entry.read_bytes() for entry in directory.iterdir()}


def first(kept) -> Secret:
    return kept.fetch(store_exists=False).settle(None)


def write(path, content=b"k" * 32):
    path.write_bytes(content)
    path.chmod(0o600)
    return Secret(content)


def test_the_first_start_makes_a_key_that_only_its_owner_reads(kept, path):
    key = first(kept)
    assert path.read_bytes() == key.reveal()
    assert len(key.reveal()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(contents(path.parent)) == ["device.key"]


def test_every_later_start_finds_the_same_key(kept):
    key = first(kept)
    for exists, devices in ((True, {device_id(key)}), (True, None), (False, None)):
        assert kept.fetch(store_exists=exists).settle(devices).reveal() == key.reveal()


def test_two_installations_have_different_keys(tmp_path):
    keys = []
    for name in "ab":
        (tmp_path / name).mkdir()
        keys.append(first(DeviceKey(tmp_path / name, InClear())))
    assert keys[0].reveal() != keys[1].reveal()


def test_a_missing_key_is_not_made_anew_beside_a_store(kept, path):
    with pytest.raises(StartRefused, match=r"is missing.* Put it back"):
        kept.fetch(store_exists=True)
    assert contents(path.parent) == {}


def test_a_missing_key_of_one_provider_names_the_one_that_is_there(kept, path):
    write(path.with_name("device.key.tpm2"))
    with pytest.raises(StartRefused, match='set `provider = "tpm2"`'):
        kept.fetch(store_exists=True)
    assert kept_here(path.parent) == ["tpm2"]


def test_another_devices_key_is_refused_and_kept(kept, path):
    write(path)
    for devices in (set(), {device_id(Secret(b"o" * 32))}):
        with pytest.raises(StartRefused, match="not the one that the store's records are sealed"):
            kept.fetch(store_exists=True).settle(devices)
    assert contents(path.parent) == {"device.key": b"k" * 32}


@pytest.mark.parametrize("size", [0, 31, 33, 4096, 10**6])
@pytest.mark.parametrize("exists", [True, False])
def test_a_key_of_the_wrong_size_is_refused_and_kept(kept, path, size, exists):
    write(path, b"k" * size)
    with pytest.raises(StartRefused, match=f"has {min(size, 65536)} bytes"):
        kept.fetch(store_exists=exists)
    assert contents(path.parent) == {"device.key": b"k" * size}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(kept, path, mode):
    write(path)
    path.chmod(mode)
    with pytest.raises(StartRefused, match=r"open to other users.* Run 'chmod 600' on it"):
        kept.fetch(store_exists=True)


def test_a_key_that_is_no_regular_file_is_refused(kept, path):
    os.mkfifo(path, 0o600)
    with pytest.raises(StartRefused, match="not a regular file"):
        kept.fetch(store_exists=False)


def test_a_link_is_not_followed(kept, path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartRefused):
        kept.fetch(store_exists=False)
    assert not (tmp_path / "elsewhere").exists()


def test_an_unfinished_key_of_a_crash_is_no_key(kept, path):
    path.with_name("device.key.next.new").write_bytes(b"half")
    key = first(kept)
    assert contents(path.parent) == {"device.key": key.reveal()}


def test_no_key_shows_in_an_error(kept, path):
    write(path, b"topsecret")
    with pytest.raises(StartRefused) as caught:
        kept.fetch(store_exists=True)
    assert "topsecret" not in str(caught.value)


def test_a_key_made_by_root_belongs_to_whom_the_directory_does(kept, path):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path.parent, 65534, 65534)
    first(kept)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


# --- from one key to another -------------------------------------------------------------------


def test_a_staged_key_is_in_force_once_its_device_has_the_records(kept, path):
    first(kept)
    new = Secret(b"n" * 32)
    kept.stage(new)
    fetched = kept.fetch(store_exists=True)
    assert fetched.choose({device_id(new)}).reveal() == new.reveal()
    assert len(contents(path.parent)) == 2
    assert fetched.settle({device_id(new)}).reveal() == new.reveal()
    assert contents(path.parent) == {"device.key": new.reveal()}


def test_a_staged_key_is_destroyed_while_the_old_ones_device_has_the_records(kept, path):
    old = first(kept)
    kept.stage(Secret(b"n" * 32))
    assert kept.fetch(store_exists=True).settle({device_id(old)}).reveal() == old.reveal()
    assert contents(path.parent) == {"device.key": old.reveal()}


@pytest.mark.parametrize("left", [bytes(32), b"", None])
def test_a_staged_key_survives_a_crash_while_the_old_one_is_destroyed(kept, path, left):
    first(kept)
    new = Secret(b"n" * 32)
    kept.stage(new)
    path.unlink()
    if left is not None:
        write(path, left)
    assert kept.fetch(store_exists=True).settle({device_id(new)}).reveal() == new.reveal()
    assert contents(path.parent) == {"device.key": new.reveal()}


def test_of_two_keys_that_are_both_wrong_none_is_touched(kept, path):
    write(path)
    write(path.with_name("device.key.next"), b"short")
    with pytest.raises(StartRefused, match=r"has 5 bytes.*not the one"):
        kept.fetch(store_exists=True).settle({device_id(Secret(b"o" * 32))})
    assert contents(path.parent) == {"device.key": b"k" * 32, "device.key.next": b"short"}


class Forgetful(InClear):
    """A provider that gives out another key than it was given."""

    def unseal(self, sealed):
        return Secret(bytes(reversed(super().unseal(sealed).reveal())))


def test_a_key_that_does_not_come_out_as_it_went_in_is_never_in_force(path, tmp_path):
    kept = DeviceKey(tmp_path, Forgetful())
    with pytest.raises(StartRefused, match="not what was written"):
        kept.fetch(store_exists=False)
    assert not path.exists()


# --- the end -----------------------------------------------------------------------------------


def test_a_destroyed_key_is_overwritten_before_it_is_removed(kept, path):
    key = first(kept)
    other_name = path.with_name("link")
    os.link(path, other_name)
    destroy(path.parent, "file")
    assert not path.exists()
    assert other_name.read_bytes() == bytes(32)
    assert first(kept).reveal() != key.reveal()


def test_what_was_staged_or_unfinished_is_destroyed_too(kept, path):
    kept.stage(Secret(b"n" * 32))
    for name in ("device.key.new", "device.key.next.new"):
        path.with_name(name).write_bytes(b"half")
    destroy(path.parent, "file")
    assert contents(path.parent) == {}


def test_a_read_only_key_is_destroyed_too(kept, path):
    first(kept)
    path.chmod(0o400)
    destroy(path.parent, "file")
    assert contents(path.parent) == {}


def test_destroying_nothing_is_no_error(path):
    destroy(path.parent, "file")
    assert contents(path.parent) == {}
