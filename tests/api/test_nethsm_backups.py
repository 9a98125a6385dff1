"""Backups made by real NetHSMs: restored, unlocked, logged in to and used, at the full KDF cost."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from nethsm.backup import EncryptedBackup

from tests.support.backups import (
    PASSPHRASE,
    Servers,
    make,
    restore,
    set_passphrase,
    signs,
    started,
    unlock,
)
from tests.support.core import Core, Credentials, basic

BACKUPS = Path(__file__).parents[1] / "vectors" / "nethsm-backups"


@pytest.fixture(scope="module", autouse=True)
def cheap_scrypt() -> None:
    """What these files were made with is not cheap."""


@pytest.mark.parametrize(
    ("name", "passphrase", "unlock_passphrase", "users"),
    [
        (
            "my_backup.bin",
            "BackupPassphrase",
            "unlockPassphrase",
            {
                "admin": "test1Passphrase",
                "operator": "test2Passphrase",
                "backup": "test3Passphrase",
                "operator2": "test4Passphrase",
            },
        ),
        (
            "sdk_v1.bin",
            "backupbackup",
            "unlockunlock",
            {"admin": "adminadmin", "operator": "operatoroperator", "backup": "backupbackup"},
        ),
    ],
)
async def test_a_file_of_a_real_device_restores_and_works(
    name: str, passphrase: str, unlock_passphrase: str, users: dict[str, str]
) -> None:
    core = await started()
    file = (BACKUPS / name).read_bytes()
    answer = await restore(
        core, file, backupPassphrase=passphrase, systemTime="2024-01-01T00:00:00Z"
    )
    assert (answer.status, core.hsm.state.value) == (204, "Locked")
    core = await core.restarted()
    core.hsm.tls.servers = Servers()
    assert await unlock(core, unlock_passphrase) == 204
    admin = ("admin", users["admin"])
    for _ in range(2):  # the second time against the renewed verifier
        core.hsm.session.credentials.forget_all()
        for user, secret in users.items():
            await core.hsm.session.credentials.authenticate(basic((user, secret)), "192.0.2.1")
    (key,) = (await core.request("GET", "/keys", user=admin)).json()
    shown = (await core.request("GET", f"/keys/{key['id']}", user=admin)).json()
    assert await uses(core, key["id"], shown, ("operator", users["operator"]))
    assert (await core.request("GET", "/namespaces", user=admin)).json() == []
    assert await set_passphrase(core, PASSPHRASE, current="wrong passphrase", user=admin) == 403
    assert await set_passphrase(core, PASSPHRASE, current=passphrase, user=admin) == 204
    device = core.hsm.device_id.encode()
    again = await make(core, ("backup", users["backup"]))
    assert EncryptedBackup.parse(again).decrypt(PASSPHRASE).backup_device_id == device
    core.close()


async def uses(core: Core, key_id: str, shown: dict[str, Any], operator: Credentials) -> bool:
    """Whether the restored key signs, or decrypts what its public key encrypts."""
    if shown["type"] == "Curve25519":
        return await signs(core, key_id, operator)
    pem = await core.request("GET", f"/keys/{key_id}/public.pem", user=operator)
    public = load_pem_public_key(pem.body)
    assert "RSA_Decryption_PKCS1" in shown["mechanisms"], shown["mechanisms"]
    encrypted = base64.b64encode(public.encrypt(b"message", PKCS1v15())).decode()
    wanted = {"mode": "PKCS1", "encrypted": encrypted}
    answer = await core.request("POST", f"/keys/{key_id}/decrypt", user=operator, json=wanted)
    return base64.b64decode(answer.json()["decrypted"]) == b"message"
