"""Restore and backup of many keys: how long, and how much memory over that of an idle server."""

import contextlib
import json
import tempfile
import time
from pathlib import Path

from bench.result import Row
from bench.run import Findings, Run
from tests.support.large_backup import UNLOCK, USERS, memory, restore, write_backup
from tests.support.server import Server, basic, running_server

SIZES = (10_000, 100_000)
_PATIENCE_SECONDS = 3600


def measure_backups(_: Run) -> Findings:
    """Return what restore and backup take, for each size."""
    return Findings([row for keys in SIZES for row in _measure(keys)])


def _measure(keys: int) -> list[Row]:
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
        size = f"{keys:,} keys, {file.stat().st_size >> 20} MiB"
    return [
        Row(f"Restore of {size}", "s", [restored - began]),
        Row(f"Backup of {size}", "s", [ended - unlocked]),
        *(
            Row(f"{role} grows over both of {size}", "MiB", [(most[role] - idle[role]) / 2**20])
            for role in ("core", "platform", "edge")
        ),
    ]


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
