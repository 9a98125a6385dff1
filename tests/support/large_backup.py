"""Backup files of any number of keys, made without a server; and what a server's processes hold."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from keystead import algorithms
from keystead.model.ids import UserId
from keystead.model.keys import KeyRecord, StoredCertificate
from keystead.model.secret import Secret
from keystead.model.users import Role, User
from keystead.sealing import domain_key, envelope
from keystead.sealing.backup import BackupWriter
from keystead.sealing.domain_key import StoreLabel, store_key
from keystead.sealing.passphrase import derive_unlock_key, make_verifier
from keystead.storage import format_version, records
from tests.support.server import Server

BACKUP = "backup passphrase"
UNLOCK = "unlock passphrase of the file"
USERS = {
    "admin": ("passphrase of admin", Role.ADMINISTRATOR),
    "operator": ("passphrase of operator", Role.OPERATOR),
    "backup": ("passphrase of backup", Role.BACKUP),
}
CERTIFICATE_BYTES = 1200
"""Beside each key; a record then has the size of one with an RSA-2048 key."""

_SALT = bytes(range(16))
_DEVICE = "AAAAAAAAAA"


def write_backup(path: Path, *, keys: int) -> None:
    """Write a file with so many P-256 keys, `key-00000000` and on, all of one private key."""
    with path.open("wb") as file:
        for part in _parts(keys):
            file.write(part)


def _parts(keys: int) -> Iterator[bytes]:
    key = derive_unlock_key(Secret(BACKUP.encode()), _SALT)
    unlock_key = derive_unlock_key(Secret(UNLOCK.encode()), _SALT)
    secret, local_key = domain_key.new_domain_key(), Secret(os.urandom(32))
    writer = BackupWriter(key, _SALT)
    yield writer.head(
        locked_domain_key=domain_key.lock(secret, unlock_key),
        device_id=_DEVICE,
        local_config_key=local_key,
    )
    local = {
        f"/local/{_DEVICE}/config/unlock-salt": (local_key, _SALT),
        "/config/backup-salt": (store_key(secret, StoreLabel.CONFIG), _SALT),
        "/config/backup-key": (store_key(secret, StoreLabel.CONFIG), key.reveal()),
    }
    for path, (its_key, content) in local.items():
        yield writer.record(path, envelope.seal(its_key, path, content))
    for label, root in (
        (StoreLabel.USERS, "/authentication/"),
        (StoreLabel.KEYS, "/key/"),
        (StoreLabel.NAMESPACES, "/namespace/"),
    ):
        for name, content in _contents(root, keys):
            sealed = envelope.seal(store_key(secret, label), root + name, content)
            yield writer.record(root + name, sealed)
    yield writer.end()


def _contents(root: str, keys: int) -> Iterator[tuple[str, bytes]]:
    yield format_version.NAME, format_version.CURRENT
    if root == "/authentication/":
        for name, (passphrase, role) in USERS.items():
            verifier = make_verifier(Secret(passphrase.encode()))
            yield name, records.encode_user(User(UserId(None, name), name, role, verifier))
    if root == "/key/":
        content = records.encode_key(
            KeyRecord(
                private=algorithms.BY_NAME["EC_P256"].generate(None).material(),
                mechanisms=frozenset({"ECDSA_Signature"}),
                certificate=StoredCertificate("application/octet-stream", bytes(CERTIFICATE_BYTES)),
            )
        ).replace(b"\\u0000", b"x")
        for number in range(keys):
            yield f"key-{number:08}", content


BOUNDARY = "x-boundary-x"


def form(file: Path, arguments: bytes) -> Iterator[bytes]:
    """Yield the body of a restore, the file read as it is sent."""
    for name, ending in (("arguments", arguments), ("backup_file", b"")):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        yield head.encode() + ending
        if not ending:
            with file.open("rb") as content:
                while part := content.read(2**18):
                    yield part
        yield b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


def restore(server: Server, file: Path, *, timeout_seconds: float = 300) -> tuple[int, bytes]:
    """Restore onto an Unprovisioned server, in chunks; return the answer's status and body."""
    arguments = b'{"backupPassphrase": "%b"}' % BACKUP.encode()
    with contextlib.closing(server.connect(timeout_seconds=timeout_seconds)) as connection:
        connection.request(
            "POST",
            "/api/v1/system/restore",
            body=form(file, arguments),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        return answer.status, answer.read()


def memory(server: Server, field: str) -> dict[str, int]:
    """Return bytes of memory by process: `VmRSS` now, or `VmHWM` the most there ever was."""
    processes = {server.pid: "supervisor", **server.children()}
    return {role: _memory(pid, field) for pid, role in processes.items()}


def _memory(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024
