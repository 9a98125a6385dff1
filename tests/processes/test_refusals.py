"""What the edges say that they refused: in the log once a minute, in the metrics at once."""

import asyncio
import json
import time

import msgspec
import pytest

from keystead.journal.log import Log
from keystead.journal.metrics import Load, Metrics
from keystead.processes.core.refusals import RefusalLog
from keystead.wire.edge_messages import MAX_REFUSALS, EdgeToCore


def test_many_reports_make_one_line_with_all_counts():
    lines: list[str] = []

    async def note() -> Metrics:
        metrics = Metrics(time.monotonic)
        log = Log("core", clock=lambda: 0.0, write=lines.append)
        refusals = RefusalLog(metrics, log, tell_seconds=0.2)
        refusals.note({"tls_cipher": 1})
        refusals.note({"tls_cipher": 2, "http_400": 3})
        await asyncio.sleep(0.4)
        return metrics

    metrics = asyncio.run(note())
    (line,) = map(json.loads, lines)
    assert (line["level"], line["tls_cipher"], line["http_400"]) == ("info", 3, 3)
    families = metrics.families(
        version="0",
        log_warnings=0,
        log_errors=0,
        load=Load(is_writable=True, work={}, free_bytes=1),
    )
    (family,) = [one for one in families if one.name == "keystead_edge_refusals"]
    assert {one.labels[0][1]: one.value for one in family.samples} == {
        "tls_cipher": 3,
        "http_400": 3,
    }


@pytest.mark.parametrize(
    "counts", [{"made up": 1}, {"http_400": 0}, {"http_400": -1}, {"http_400": MAX_REFUSALS + 1}]
)
def test_an_edge_can_report_only_what_there_is(counts):
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([35, counts]), type=EdgeToCore)
