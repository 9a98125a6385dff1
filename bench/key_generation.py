"""Keys made and durable, beside what the disk gives SQLite commit by commit."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bench.result import Reference, Row, at_least
from bench.run import Findings, Run
from bench.server import ADMIN, Server
from bench.signing import CONNECTIONS

_WANTED = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
_COMMIT_SECONDS = 1.0
_RECORD = bytes(400)


def measure_generation(run: Run, server: Server) -> Findings:
    """Return P-256 keys a second."""
    rates, commits = [], []
    cpu_us: dict[str, float] = {}
    for number in range(run.rounds):
        commits.append(_commits_per_second(run.folder / f"commits-{number}.db"))
        measured = server.load(
            ["/keys/generate"],
            _WANTED,
            connections=CONNECTIONS,
            seconds=run.seconds,
            authorization=ADMIN,
        )
        if measured.load.errors:
            raise RuntimeError(f"{measured.load.errors} keys were not made")
        rates.append(measured.load.per_second)
        cpu_us = measured.cpu_us
    case = f"P-256 key generation, durable, {CONNECTIONS} connections"
    reference = Reference("SQLite, a record a commit, one thread", commits)
    return Findings([Row(case, "/s", rates, at_least(2_500), reference, cpu_us)])


def _commits_per_second(path: Path) -> float:
    """Return how many records of a key's size SQLite makes durable, one by one."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE record (value BLOB NOT NULL)")
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < _COMMIT_SECONDS:
            connection.execute("INSERT INTO record VALUES (?)", (_RECORD,))
            done += 1
        return done / (time.perf_counter() - began)
