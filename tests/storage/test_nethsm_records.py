"""Records in backups of real NetHSMs open at their paths, read, and write back the same."""

from pathlib import Path

import pytest
from nethsm.backup import EncryptedBackup

from keystead import algorithms
from keystead.errors import NotAuthenticated
from keystead.model.ids import UserId
from keystead.model.secret import Secret
from keystead.model.users import Role
from keystead.sealing import domain_key, envelope, passphrase
from keystead.sealing.domain_key import StoreLabel
from keystead.storage import records, settings

BACKUPS = Path(__file__).parents[1] / "vectors" / "nethsm-backups"


class Opened:
    """A backup, and its records as they lay in the device."""

    def __init__(self, name, backup_passphrase, unlock_passphrase):
        encrypted = EncryptedBackup.parse((BACKUPS / name).read_bytes())
        backup = encrypted.decrypt(backup_passphrase)
        self.data = backup.data
        self.local_key = backup.backup_config_store_key
        salt = self.local("unlock-salt")
        unlock_key = passphrase.derive_unlock_key(Secret(unlock_passphrase), salt)
        self.domain_key = domain_key.unlock(backup.domain_key, unlock_key)

    def local(self, name):
        """Read a setting of the device: in clear in version 0, sealed in version 1."""
        for path, value in self.data.items():
            if path.endswith(f"/config/{name}"):
                if self.local_key is None:
                    return value
                return envelope.unseal(Secret(self.local_key), path, value)
        raise KeyError(name)

    def store(self, label, root):
        key = domain_key.store_key(self.domain_key, label)
        return {
            path.removeprefix(root): envelope.unseal(key, path, value)
            for path, value in self.data.items()
            if path.startswith(root)
        }


@pytest.fixture(scope="module")
def version_0():
    return Opened("my_backup.bin", "BackupPassphrase", b"unlockPassphrase")


@pytest.fixture(scope="module")
def version_1():
    return Opened("sdk_v1.bin", "backupbackup", b"unlockunlock")


@pytest.fixture(params=["version_0", "version_1"])
def opened(request):
    return request.getfixturevalue(request.param)


def test_every_store_has_the_version_we_write(opened):
    assert opened.store(StoreLabel.USERS, "/authentication/")[".version"] == b"0"
    assert opened.store(StoreLabel.KEYS, "/key/")[".version"] == b"0"


def test_every_user_record_writes_back_the_same(opened):
    users = opened.store(StoreLabel.USERS, "/authentication/")
    del users[".version"]
    assert len(users) >= 3
    for name, raw in users.items():
        user = records.decode_user(UserId.parse(name), raw, path=name)
        assert user.verifier.scrypt is None
        assert records.encode_user(user) == raw


def test_every_key_record_writes_back_the_same_and_loads(opened):
    keys = opened.store(StoreLabel.KEYS, "/key/")
    del keys[".version"]
    assert len(keys) == 1
    for name, raw in keys.items():
        record = records.decode_key(raw, path=name)
        assert records.encode_key(record) == raw
        assert algorithms.load(record.private).public_pem()


def test_the_users_of_a_backup_log_in(version_0):
    users = version_0.store(StoreLabel.USERS, "/authentication/")
    for name, secret, role, tags in (
        ("admin", b"test1Passphrase", Role.ADMINISTRATOR, set()),
        ("operator", b"test2Passphrase", Role.OPERATOR, {"berlin"}),
        ("backup", b"test3Passphrase", Role.BACKUP, set()),
    ):
        user = records.decode_user(UserId.parse(name), users[name], path=name)
        assert (user.role, user.tags, user.real_name) == (role, tags, name)
        passphrase.verify(user.verifier, Secret(secret))
        with pytest.raises(NotAuthenticated):
            passphrase.verify(user.verifier, Secret(secret + b"x"))
        assert passphrase.needs_renewal(user.verifier)


def test_the_settings_of_a_backup_read_and_write_back_the_same(opened):
    for setting in (
        settings.UNLOCK_SALT,
        settings.TLS_CHAIN,
        settings.TLS_KEY,
        settings.TIME_OFFSET,
    ):
        raw = opened.local(setting.name)
        assert setting.encode(setting.decode(raw)) == raw
    assert settings.TLS_CHAIN.decode(opened.local("certificate")).startswith(b"-----BEGIN CERT")
    assert settings.TIME_OFFSET.decode(opened.local("time-offset")) < 0


def test_the_global_settings_of_a_backup_are_sealed_under_the_config_key(version_1):
    config_key = domain_key.store_key(version_1.domain_key, StoreLabel.CONFIG)
    path = f"/config/{settings.BACKUP_SALT.name}"
    assert len(envelope.unseal(config_key, path, version_1.data[path])) == 16
