"""`keystead backup`, `backup verify`, `restore`: to a file, without an HSM, and back."""

import pytest

from keystead.cli.exit_status import ExitStatus
from tests.cli.conftest import trusted
from tests.support.server import UNLOCK, running_server

BACKUP = "backupPassphrase"


@pytest.fixture
def backup(keystead, tmp_path):
    """A backup with a namespace, a key in it and one without."""
    keystead("keys", "generate", "first", "--type", "EC_P256")
    keystead("namespaces", "add", "tenant")
    new = {"KEYSTEAD_CURRENT_PASSPHRASE": "", "KEYSTEAD_NEW_PASSPHRASE": BACKUP}
    again = {**new, "KEYSTEAD_CURRENT_PASSPHRASE": BACKUP}
    set_passphrase = ("config", "backup-passphrase")
    assert 0 in {keystead(*set_passphrase, **new).status, keystead(*set_passphrase, **again).status}
    file = tmp_path / "nightly.backup"
    assert keystead("backup", "-o", file, user="backup").status == 0
    return file


def verify(command, file, *options, **environment):
    passphrases = {"KEYSTEAD_BACKUP_PASSPHRASE": BACKUP, "KEYSTEAD_UNLOCK_PASSPHRASE": UNLOCK}
    return command("backup", "verify", file, "--json", *options, **{**passphrases, **environment})


def test_a_backup_is_opened_and_listed_without_an_hsm(backup, command):
    report = verify(command, backup).json()
    assert report["keys"] == ["first"]
    assert report["users"] == ["admin", "backup", "metrics", "signer"]
    assert report["namespaces"] == ["tenant"]
    assert report["sealed"]
    assert report["recordsOpened"] is None


def test_with_the_unlock_passphrase_every_record_is_opened(backup, command):
    assert verify(command, backup, "--unlock").json()["recordsOpened"] >= 6
    ran = verify(command, backup, "--unlock", KEYSTEAD_UNLOCK_PASSPHRASE="wrong one")
    assert ran.status == ExitStatus.REFUSED
    assert "The unlock passphrase does not open this backup." in ran.err


def test_a_wrong_passphrase_or_a_damaged_file_is_said(backup, command):
    ran = verify(command, backup, KEYSTEAD_BACKUP_PASSPHRASE="wrong one")
    assert ran.status == ExitStatus.REFUSED
    assert "The backup passphrase is wrong, or the file is damaged." in ran.err
    content = backup.read_bytes()
    backup.write_bytes(content[:-30])
    assert verify(command, backup).status == ExitStatus.REFUSED
    backup.write_bytes(content[: len(content) // 2] + b"\0" + content[len(content) // 2 + 1 :])
    assert verify(command, backup).status == ExitStatus.REFUSED
    backup.unlink()
    assert "No such file" in verify(command, backup).err


def test_without_a_passphrase_nobody_can_be_asked(backup, command):
    assert command("backup", "verify", backup).status == ExitStatus.USAGE


def test_a_backup_that_breaks_off_leaves_no_file(keystead, tmp_path):
    file = tmp_path / "never.backup"
    assert keystead("backup", "-o", file, user="signer").status == ExitStatus.REFUSED
    assert list(tmp_path.glob("*never*")) == []


def test_a_backup_is_restored_into_a_new_hsm(backup, command, tmp_path):
    (tmp_path / "other").mkdir()
    with running_server(tmp_path / "other") as other:
        where = trusted(other)
        ran = command("restore", backup, *where, KEYSTEAD_BACKUP_PASSPHRASE="wrong one")
        assert ran.status == ExitStatus.REFUSED
        ran = command("restore", backup, *where, KEYSTEAD_BACKUP_PASSPHRASE=BACKUP)
        assert ran.status == ExitStatus.DONE, ran
        assert "run 'keystead unlock'" in ran.err
        other.wait_ready()
        # The restore brings the TLS identity of the HSM that made the backup.
        where = ("--host", f"{other.host}:{other.port}", "--insecure")
        assert command("unlock", *where, KEYSTEAD_UNLOCK_PASSPHRASE=UNLOCK).status == 0
        keys = command(
            "keys", "list", "--json", *where, "--user=admin", KEYSTEAD_PASSPHRASE="adminPassphrase"
        )
        assert keys.json() == [{"id": "first"}]


def test_a_restore_into_an_operational_hsm_asks(backup, keystead):
    keystead("keys", "generate", "later", "--type", "EC_P256")
    restore = ("restore", backup)
    assert keystead(*restore, KEYSTEAD_BACKUP_PASSPHRASE=BACKUP).status == ExitStatus.USAGE
    assert keystead("keys", "show", "later").status == ExitStatus.DONE
    ran = keystead(*restore, "--yes", KEYSTEAD_BACKUP_PASSPHRASE=BACKUP)
    assert ran.status == ExitStatus.DONE, ran
    assert keystead("keys", "show", "later").status == ExitStatus.NOT_FOUND
