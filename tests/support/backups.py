"""Cores to back up and to restore onto, and the files that go between them."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from nethsm.backup import Backup, EncryptedBackup

from keystead.api.dispatch import Dispatcher
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.backup import BackupWriter
from keystead.sealing.passphrase import derive_unlock_key
from keystead.wire.edge_messages import Request
from tests.support.core import ADMIN, UNLOCK, Answer, Core, Credentials, WholeBody, start_core
from tests.support.memory_store import MemoryStore

PASSPHRASE = "backup passphrase"
BOUNDARY = "x-boundary-x"
MULTIPART = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


class Servers:
    """Takes every TLS identity, and says which one it serves."""

    def __init__(self) -> None:
        self.served: list[Any] = []

    async def try_out(self, identity: Any) -> None:
        pass

    async def serve(self, identity: Any) -> None:
        self.served.append(identity)


async def started(**given: Any) -> Core:
    core = await start_core(**given)
    core.hsm.tls.servers = Servers()
    return core


async def set_passphrase(core: Core, new: str, current: str = "", user: Credentials = ADMIN) -> int:
    change = {"newPassphrase": new, "currentPassphrase": current}
    return (await core.request("PUT", "/config/backup-passphrase", user=user, json=change)).status


async def furnished(**given: Any) -> tuple[Core, Credentials, Credentials]:
    """Return a core with users, a namespace and keys; its Backup user and its Operator."""
    core = await started(**given)
    await core.provision()
    backup = await core.add_user("backup", "Backup")
    operator = await core.add_user("operator", "Operator")
    namespaced = await core.add_namespace("ns")
    await core.generate("mine", "Curve25519", "EdDSA_Signature")
    await core.generate("theirs", "EC_P256", "ECDSA_Signature", by=namespaced)
    assert await set_passphrase(core, PASSPHRASE) == 204
    return core, backup, operator


async def make(core: Core, backup: Credentials) -> bytes:
    answer = await core.request("POST", "/system/backup", user=backup)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    return answer.body


def form(
    file: bytes, arguments: Any, names: tuple[str, str] = ("arguments", "backup_file")
) -> bytes:
    parts = [(names[0], json.dumps(arguments).encode()), (names[1], file)]
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (BOUNDARY.encode(), name.encode(), content)
        for name, content in parts
    )
    return body + b"--%b--\r\n" % BOUNDARY.encode()


async def restore(
    core: Core, file: bytes, user: Credentials | None = None, **arguments: Any
) -> Answer:
    return await core.request(
        "POST",
        "/system/restore",
        user=user,
        body=form(file, {"backupPassphrase": PASSPHRASE} | arguments),
        headers=MULTIPART,
    )


async def unlock(core: Core, passphrase: str = UNLOCK) -> int:
    return (await core.request("POST", "/unlock", json={"passphrase": passphrase})).status


async def signs(core: Core, key_id: str, user: Credentials, message: bytes = b"message") -> bool:
    """Whether the key signs, and its public key verifies that (Ed25519)."""
    wanted = {"mode": "EdDSA", "message": base64.b64encode(message).decode()}
    answer = await core.request("POST", f"/keys/{key_id}/sign", user=user, json=wanted)
    if answer.status != 200:
        return False
    public = await core.request("GET", f"/keys/{key_id}/public.pem", user=user)
    load_pem_public_key(public.body).verify(base64.b64decode(answer.json()["signature"]), message)
    return True


async def contents(store: MemoryStore) -> dict[str, bytes]:
    page = await store.scan("/", "0", limit_bytes=10**9)
    return {path: entry.value for path, entry in page if not path.startswith("/journal/")}


async def begun(core: Core, backup: Credentials) -> Any:
    """Return the head of a backup's answer, and its parts, none of them made yet."""
    credentials = base64.b64encode(":".join(backup).encode()).decode()
    request = Request(
        1,
        "POST",
        "/api/v1/system/backup",
        "",
        {"authorization": f"Basic {credentials}"},
        "192.0.2.1",
        b"",
    )
    response = await Dispatcher(core.hsm).answer(request, WholeBody(b""))
    return response.head, response.parts


def version_0(core: Core, backup: Backup, **config: bytes) -> bytes:
    """Return a file of version 0 with the shared records of `backup`, and `config` in clear."""
    salt = bytes(16)
    key = derive_unlock_key(Secret(PASSPHRASE.encode()), salt)
    writer = BackupWriter(key, salt)

    def sealed(purpose: str, content: bytes) -> bytes:
        content = envelope.seal(key, purpose, content)
        return len(content).to_bytes(3) + content

    local = f"/local/{core.hsm.device_id}/config/"
    store_key = Secret(backup.backup_config_store_key)
    clear = {
        path.replace(local, "/config/"): envelope.unseal(store_key, path, value)
        for path, value in backup.data.items()
        if path.startswith(local)
    }
    shared = {
        path: value
        for path, value in backup.data.items()
        if path.startswith(("/authentication/", "/key/"))
    }
    records = (
        shared | clear | {f"/config/{name.replace('_', '-')}": v for name, v in config.items()}
    )
    return b"".join(
        [
            b"_NETHSM_BACKUP_\0\0\0\x10" + salt,
            sealed("backup-version", b"\0"),
            sealed("domain-key", backup.domain_key),
            *(writer.record(path, value) for path, value in records.items()),
        ]
    )


async def swept(core: Core) -> None:
    task = core.hsm.succession._sweeping  # noqa: SLF001 - there is nothing else to wait for
    if task is not None:
        await task


class OpenedBackup(EncryptedBackup):
    """What the official reader finds in a file, with the key derived as cheaply as tests do."""

    def _key(self, passphrase: str) -> bytes:
        return derive_unlock_key(Secret(passphrase.encode()), self.salt).reveal()


def opened(file: bytes) -> Backup:
    return OpenedBackup.parse(file).decrypt(PASSPHRASE)
