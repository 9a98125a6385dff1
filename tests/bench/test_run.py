"""A benchmark run, as short as it gets: what it measures is not looked at, only that it does."""

import json
import shutil
import subprocess
import sys
from contextvars import copy_context

import pytest

from bench import budget
from bench.many_keys import filled
from bench.run import Run
from bench.server import ADMIN, Server, ask
from bench.signing import SIGNING


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_run_measures_and_writes_what_it_found(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bench", "--seconds=5", "--rounds=1", "--only=unloaded"]
    subprocess.run([*command, f"--folder={tmp_path}", f"--out={out}"], check=True)  # noqa: S603
    data = json.loads((out / "figures.json").read_text())
    (row,) = data["rows"]
    assert row["measured"] > 0
    assert set(row["cpu_us_per_request"]) >= {"load", "edge", "core", "platform", "supervisor"}
    assert data["machine"]["cryptography"]
    assert "P-256 sign, 1 connection: p50" in (out / "figures.md").read_text()
    assert list(tmp_path.iterdir()) == [out]


def test_a_filled_store_is_served(tmp_path):
    data, ids = filled(tmp_path, 120)
    with Server(data) as server, server.connected() as connection:
        assert (
            ask(connection, "GET", "/keys/listed-*", authorization=ADMIN).count(b"listed-") == 100
        )
        assert b"signature" in ask(connection, "POST", f"/keys/{ids[0]}/sign", SIGNING["p256"].body)


def test_every_stage_of_a_request_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "CALLS", 10)
    # The requests leave their numbers behind, in a context of their own.
    measured = copy_context().run(budget.measure_budget, Run(tmp_path, 1, 1, 1, 1))
    rows = measured.rows
    assert len(rows) > 10
    assert all(row.measured > 0 for row in rows)
