"""The device key under a systemd credential: both are needed, and each is said to be missing."""

import os

import pytest

from keystead.errors import StartRefused
from keystead.model.secret import Secret
from keystead.platform.device_key import DeviceKey
from keystead.platform.device_key_credential import UnderCredential

KEY = Secret(bytes(range(32)))
NAME = "keystead-device-key"


@pytest.fixture
def credential(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"c" * 32)
    path.chmod(0o400)
    return path


@pytest.fixture
def provider(credential):
    return UnderCredential(credential.parent, NAME)


def replace(path, content):
    path.chmod(0o600)
    path.write_bytes(content)


def test_what_was_sealed_opens_again_and_does_not_show_the_key(provider):
    sealed = provider.seal(KEY)
    assert KEY.reveal() not in sealed
    assert provider.seal(KEY) != sealed
    assert provider.unseal(sealed).reveal() == KEY.reveal()
    assert provider.describe(sealed)[0].startswith(f"credential: {NAME} in /")


def test_another_credential_is_refused(provider, credential):
    sealed = provider.seal(KEY)
    replace(credential, b"d" * 32)
    with pytest.raises(StartRefused, match=f"credential {NAME} is not the one"):
        provider.unseal(sealed)


def test_a_changed_bit_anywhere_is_refused(provider):
    sealed = provider.seal(KEY)
    for at in range(len(sealed)):
        damaged = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(StartRefused):
            provider.unseal(damaged)
    with pytest.raises(StartRefused, match="newer format"):
        provider.unseal(b"")


@pytest.mark.parametrize("content", [b"", b"c" * 31, b"c" * 32 + b"\n", b"63" * 32])
def test_a_credential_of_another_size_is_refused(provider, credential, content):
    replace(credential, content)
    with pytest.raises(StartRefused, match=f"has {len(content)} bytes, not 32"):
        provider.seal(KEY)


def test_a_missing_credential_is_refused_with_the_command_that_makes_one(provider, credential):
    credential.unlink()
    with pytest.raises(StartRefused, match=r"is missing.*systemd-creds encrypt --name=keystead"):
        provider.seal(KEY)


def test_without_a_service_manager_it_says_so():
    with pytest.raises(StartRefused, match="CREDENTIALS_DIRECTORY is not set"):
        UnderCredential(None, NAME).seal(KEY)


@pytest.mark.parametrize("mode", [0o404, 0o420, 0o406])
def test_a_credential_that_others_may_read_or_change_is_refused(provider, credential, mode):
    credential.chmod(mode)
    with pytest.raises(StartRefused, match="open to other users"):
        provider.seal(KEY)


def test_a_credential_read_through_an_acl_of_systemd_is_taken(provider, credential):
    credential.chmod(0o440)
    provider.seal(KEY)


def test_a_credential_that_is_no_file_is_refused(provider, credential):
    credential.unlink()
    os.mkfifo(credential, 0o400)
    with pytest.raises(StartRefused, match="not a regular file"):
        provider.seal(KEY)
    credential.unlink()
    credential.symlink_to(credential.name)
    with pytest.raises(StartRefused, match="symbolic links"):
        provider.seal(KEY)


def test_a_first_start_without_the_credential_leaves_nothing(provider, credential, tmp_path):
    credential.unlink()
    (tmp_path / "data").mkdir()
    with pytest.raises(StartRefused, match="is missing"):
        DeviceKey(tmp_path / "data", provider).fetch(store_exists=False)
    assert list((tmp_path / "data").iterdir()) == []
