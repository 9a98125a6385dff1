"""Whatever moment the process is killed at: what was acknowledged is there."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

CRASHES = 20

WRITER = """
import asyncio, itertools, os, sys
from pathlib import Path
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change

async def write(store, numbers):
    for number in numbers:
        value = b"%d" % number * 100
        await store.commit([Change(f"/a/{number}", value), Change(f"/b/{number}", value)])
        os.write(1, b"%d\\n" % number)

async def main(path, start):
    store = SqliteStore(path)
    numbers = itertools.count(start)
    os.write(1, b"ready\\n")
    await asyncio.gather(*(write(store, numbers) for _ in range(8)))

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def write_until_killed(path, start, seconds):
    """Return the numbers that a writer, killed after so long, had acknowledged."""
    with subprocess.Popen(  # noqa: S603  our own interpreter and script
        [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        writer.kill()
        lines = writer.stdout.read().splitlines()
    return [int(line) for line in lines]


def stored(path):
    with closing(sqlite3.connect(path)) as connection:
        (health,) = connection.execute("PRAGMA integrity_check").fetchone()
        rows = connection.execute("SELECT path, value FROM record").fetchall()
    assert health == "ok"
    return {record.decode(): value for record, value in rows}


def test_every_acknowledged_commit_survives_a_killed_process(tmp_path):
    path = tmp_path / "keystead.db"
    acknowledged = []
    for crash in range(CRASHES):
        seconds = os.urandom(1)[0] / 255 * 0.1
        acknowledged += write_until_killed(path, crash * 10**6, seconds)
        records = stored(path)
        for number in acknowledged:
            assert records[f"/a/{number}"] == records[f"/b/{number}"] == b"%d" % number * 100
        halves = {name.removeprefix("/a/").removeprefix("/b/") for name in records}
        assert len(records) == 2 * len(halves)
    assert len(acknowledged) > CRASHES
