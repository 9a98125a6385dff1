"""`keystead top`: the HSM at work, as its metrics go. Its user has the role Metrics.

It shows every metric there is, under its own name: what the server counts in a later version
appears by itself.
"""

import itertools
import time
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Final

from keystead.cli.command import Invocation, run_by
from keystead.cli.exit_status import UsageError
from keystead.cli.exposition import Readings, Samples, parse
from keystead.cli.screen import printable
from keystead.client.client import Client

if TYPE_CHECKING:
    from rich.table import Table

_RESPONSES: Final = "keystead_http_response_seconds"
_QUANTILES: Final = {"50 %": 0.5, "90 %": 0.9, "99 %": 0.99}


def add_commands(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead top` takes."""
    run_by(parser, _top)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="(default: 1)")
    parser.add_argument("--times", type=int, metavar="N", help="end after N (default: Ctrl-C)")


def _top(call: Invocation) -> None:
    from rich.console import Console
    from rich.live import Live

    every: float = call.given.every
    if every <= 0:
        raise UsageError("--every is more than 0 seconds.")
    hsm = call.client
    before, began = _samples(hsm), time.monotonic()
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        for _ in itertools.count() if call.given.times is None else range(call.given.times):
            time.sleep(every)
            state, after, now = hsm.state(), _samples(hsm), time.monotonic()
            live.update(_view(state, Readings(before, after, now - began)), refresh=True)
            before, began = after, now


def _samples(hsm: Client) -> Samples:
    return parse(hsm.get_bytes("/metrics", accept="text/plain").decode())


def _view(state: str, readings: Readings) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "Metric", "Of", "A second", "Now", title=Text(f"HSM {printable(state)}"), box=None
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for label, share in _QUANTILES.items():
        bound = readings.quantile(_RESPONSES, share)
        text = "" if bound is None else f"≤ {1000 * bound:g} ms"
        table.add_row("Answers within", label, "", text)
    for name, labels, rate, total in readings.rates():
        table.add_row(_title(name), printable(labels), f"{rate:,.1f}", f"{total:,.0f}")
    for name, labels, value in readings.gauges():
        table.add_row(_title(name), printable(labels), "", f"{value:,.0f}")
    return table


def _title(name: str) -> str:
    return name.removeprefix("keystead_").replace("_", " ")
