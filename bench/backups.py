"""Restore and backup of many keys: how long, and how much memory over that of an idle server."""

import contextlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.large_backup import UNLOCK, USERS, memory, restore, write_backup
from tests.support.server import Server, basic, running_server

SIZES = (10_000, 100_000)
_PATIENCE_SECONDS = 3600


@dataclass(frozen=True)
class BackupRow:
    """What one number of keys came to; bytes and seconds."""

    keys: int
    file_bytes: int
    restore_seconds: float
    unlock_seconds: float
    backup_seconds: float
    grown_bytes: dict[str, int]
    """By process: the most memory there ever was, less that of the idle server."""


def measure_backups(keys: int) -> BackupRow:
    """Restore a file of so many keys onto an empty server, and back it up again."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "backup.bin"
        write_backup(file, keys=keys)
        with running_server(Path(folder)) as server:
            idle = memory(server, "VmRSS")
            began = time.monotonic()
            status, content = restore(server, file, timeout_seconds=_PATIENCE_SECONDS)
            if status != 204:  # noqa: PLR2004 - No Content
                raise RuntimeError(content.decode())
            restored = time.monotonic()
            server.request("POST", "/unlock", json={"passphrase": UNLOCK})
            unlocked = time.monotonic()
            _download(server)
            ended = time.monotonic()
            most = memory(server, "VmHWM")
        return BackupRow(
            keys=keys,
            file_bytes=file.stat().st_size,
            restore_seconds=restored - began,
            unlock_seconds=unlocked - restored,
            backup_seconds=ended - unlocked,
            grown_bytes={role: most[role] - idle[role] for role in idle},
        )


def _download(server: Server) -> None:
    headers = {"Authorization": basic("backup", USERS["backup"][0])}
    with contextlib.closing(server.connect(timeout_seconds=_PATIENCE_SECONDS)) as connection:
        connection.request("POST", "/api/v1/system/backup", headers=headers)
        answer = connection.getresponse()
        last = b""
        while part := answer.read(2**20):
            last = part
    if not last.endswith(b"_NETHSM_BACKUP_END_"):
        raise RuntimeError(json.dumps({"status": answer.status}))


def print_backups(rows: list[BackupRow]) -> None:
    """Print the rows as a Markdown table."""
    roles = sorted(rows[0].grown_bytes)
    print("| keys | file | restore | unlock | backup |", end="")
    print("".join(f" {role} grows |" for role in roles))
    print("|---" * (5 + len(roles)) + "|")
    for row in rows:
        print(
            f"| {row.keys:,} | {row.file_bytes >> 20:,} MiB | {row.restore_seconds:.1f} s "
            f"| {row.unlock_seconds:.1f} s | {row.backup_seconds:.1f} s |",
            end="",
        )
        print("".join(f" {row.grown_bytes[role] >> 20} MiB |" for role in roles))
