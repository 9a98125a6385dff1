"""The first list of many ML-DSA keys with their public halves, which are slow to derive."""

import time
from dataclasses import replace
from pathlib import Path

from bench.many_keys import filled, new_record
from bench.result import Reference, Row, at_most
from bench.run import Findings, Run
from bench.server import ADMIN, Server, ask
from keystead.model.keys import KeyRecord

KEYS = 10_000
_TYPE = "ML_DSA_65"
_ID = b'"id":"'


def measure_listings(run: Run) -> Findings:
    """Return the time with public halves in the records, beside records of earlier software."""
    stored, _ = filled(run.folder / "stored", KEYS, lambda: new_record(_TYPE))
    derived, _ = filled(run.folder / "derived", KEYS, _earlier_record)
    rounds = [
        (_first_list_seconds(stored), _first_list_seconds(derived)) for _ in range(run.rounds)
    ]
    reference = Reference("each key parsed", [slow for _, slow in rounds], at_most(0.5))
    case = f"First list of {KEYS:,} ML-DSA-65 keys with details"
    return Findings([Row(case, "s", [fast for fast, _ in rounds], at_most(1), reference)])


def _earlier_record() -> KeyRecord:
    record = new_record(_TYPE)
    return replace(record, private=replace(record.private, public=None))


def _first_list_seconds(data: Path) -> float:
    """Return how long a server that has just started takes to list all keys, page by page."""
    listed, after = 0, ""
    with Server(data) as server, server.connected() as connection:
        ask(connection, "GET", "/users", authorization=ADMIN)  # With the scrypt of the passphrase.
        began = time.perf_counter()
        while True:
            path = f"/keys?details=true&limit=1000{after}"
            page = ask(connection, "GET", path, authorization=ADMIN)
            if page == b"[]":
                break
            listed += page.count(_ID)
            start = page.rindex(_ID) + len(_ID)
            after = "&after=" + page[start : page.index(b'"', start)].decode()
        seconds = time.perf_counter() - began
    if listed != KEYS:
        raise RuntimeError(f"{listed} keys were listed, not {KEYS}")
    return seconds
