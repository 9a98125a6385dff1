"""The SDK's calls for backups, and its own reader of their files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import nethsm
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from nethsm import Base64, KeyMechanism, KeyType, Role, SignMode, State
from nethsm.backup import EncryptedBackup

from tests.support.server import UNLOCK, running_server

pytestmark = [
    # The certificate is self-signed, for no address.
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    # The SDK leaves the files open that it keeps answers of bytes in.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BACKUPS = Path(__file__).parents[1] / "vectors" / "nethsm-backups"
PASSPHRASE = "backup passphrase"


def error(match: str):
    return pytest.raises(nethsm.NetHSMError, match=match)


@pytest.fixture(scope="module")
def backup(hsm) -> nethsm.NetHSM:
    return hsm.add_user("backup", Role.BACKUP)


@pytest.fixture(scope="module")
def file(hsm, operator, backup) -> bytes:
    """A backup of a server with a key and an Operator."""
    assert operator.get_state() is State.OPERATIONAL
    with error("backup passphrase is not set"):
        backup.backup()
    with error("Access denied"):
        hsm.admin.set_backup_passphrase(PASSPHRASE, "a passphrase that was never set")
    hsm.admin.set_backup_passphrase(PASSPHRASE)
    with error("Access denied"):
        hsm.admin.set_backup_passphrase("another passphrase")
    with error("Access denied"):
        hsm.admin.backup()
    hsm.admin.generate_key(KeyType.CURVE25519, [KeyMechanism.EDDSA_SIGNATURE], 256, "mine")
    return backup.backup()


def test_the_reader_of_the_sdk_opens_our_backup(hsm, file) -> None:
    opened = EncryptedBackup.parse(file).decrypt(PASSPHRASE)
    device = hsm.server.request("GET", "/system/info", user="admin").json()["deviceId"]
    assert opened.backup_device_id == device.encode()
    assert {"/key/mine", "/authentication/admin", "/config/version"} <= set(opened.data)
    with pytest.raises(ValueError, match="verification failed"):
        EncryptedBackup.parse(file).decrypt("another passphrase")


def test_a_backup_goes_onto_an_empty_server(hsm, operator, file, tmp_path) -> None:
    public = hsm.admin.get_key("mine").public_key
    now = datetime(2031, 1, 1, tzinfo=UTC)
    with running_server(tmp_path) as server:
        address = f"{server.host}:{server.port}"
        with nethsm.connect(address, None, verify_tls=False) as nobody:
            with error("backup did not apply"):
                nobody.restore(file[:-1], PASSPHRASE, now)
            with error("backup did not apply"):
                nobody.restore(file, "another passphrase", now)
            assert nobody.get_state() is State.UNPROVISIONED
            nobody.restore(file, PASSPHRASE, now)
            assert nobody.get_state() is State.LOCKED
            nobody.unlock(UNLOCK)
        with nethsm.connect(address, hsm.admin.auth, verify_tls=False) as admin:
            assert admin.get_key("mine").public_key == public
            assert abs(admin.get_config_time() - now) < timedelta(seconds=20)
        with nethsm.connect(address, operator.auth, verify_tls=False) as user:
            signed = user.sign("mine", Base64.encode(b"message"), SignMode.EDDSA)
        key = ed25519.Ed25519PublicKey.from_public_bytes(public.data.decode())
        key.verify(signed.decode(), b"message")


def test_a_backup_goes_back_onto_its_server_which_stays_operational(hsm, file) -> None:
    hsm.admin.generate_key(KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], 256, "late")
    hsm.admin.restore(file, PASSPHRASE, None)
    assert hsm.admin.get_state() is State.OPERATIONAL
    assert hsm.admin.list_keys() == ["mine"]


@pytest.mark.parametrize(
    ("name", "passphrase", "unlock", "admin", "key"),
    [
        ("my_backup.bin", "BackupPassphrase", "unlockPassphrase", "test1Passphrase", "keyID"),
        ("sdk_v1.bin", "backupbackup", "unlockunlock", "adminadmin", "mykey"),
    ],
)
def test_a_backup_of_a_real_device_is_taken_over(
    tmp_path, name: str, passphrase: str, unlock: str, admin: str, key: str
) -> None:
    with running_server(tmp_path) as server:
        address = f"{server.host}:{server.port}"
        before = server.fingerprint
        with nethsm.connect(address, None, verify_tls=False) as nobody:
            nobody.restore((BACKUPS / name).read_bytes(), passphrase, None)
            nobody.unlock(unlock)
        auth = nethsm.Authentication("admin", admin)
        with nethsm.connect(address, auth, verify_tls=False) as client:
            assert client.list_keys() == [key]
            client.set_backup_passphrase(PASSPHRASE, passphrase)
            client.reboot()
        server.wait_ready(times=2)
        assert server.ready_state == "Locked"
        assert server.fingerprint != before
