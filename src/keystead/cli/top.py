"""`keystead top`: the HSM at work, by its metrics, by key or by user.

It shows every metric there is, under its own name: what the server counts in a later version
appears by itself. Metrics need a user with the role Metrics, and name neither keys nor users.
"""

import itertools
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from keystead.cli.command import Invocation, run_by
from keystead.cli.exit_status import UsageError
from keystead.cli.exposition import Readings, Samples, parse
from keystead.cli.screen import printable
from keystead.cli.usage_counts import ActionsOfUsers, UsageCounts, UsesOfKeys
from keystead.client.client import Client

if TYPE_CHECKING:
    from rich.table import Table

_Reading = TypeVar("_Reading")

_RESPONSES: Final = "keystead_http_response_seconds"
_USAGE: Final[dict[str, Callable[[], UsageCounts]]] = {"key": UsesOfKeys, "user": ActionsOfUsers}
_MOST_ROWS: Final = 40
_QUANTILES: Final = {"50 %": 0.5, "90 %": 0.9, "99 %": 0.99}


def add_commands(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead top` takes."""
    run_by(parser, _top)
    parser.add_argument("--by", choices=("metric", *_USAGE), default="metric", help="what to show")
    parser.add_argument(
        "--every", type=float, metavar="SECONDS", help="(default: 1; by user: 10, as the journal)"
    )
    parser.add_argument("--times", type=int, metavar="N", help="end after N (default: Ctrl-C)")


def _top(call: Invocation) -> None:
    by: str = call.given.by
    every: float = call.given.every or (10.0 if by == "user" else 1.0)
    if every < 0 or call.given.every == 0:
        raise UsageError("--every must be more than 0 seconds.")
    rounds = itertools.count() if call.given.times is None else range(call.given.times)
    if by == "metric":
        _show(call.client, rounds, every, _samples, _metrics_view)
    else:
        _show(call.client, rounds, every, _USAGE[by]().read, partial(_usage_view, by))


def _show(
    hsm: Client,
    rounds: Iterable[int],
    every: float,
    read: Callable[[Client], _Reading],
    view: Callable[[str, _Reading, _Reading, float], "Table"],
) -> None:
    """Show what `view` makes of state, two readings and the seconds between, again and again."""
    from rich.console import Console
    from rich.live import Live

    before, began = read(hsm), time.monotonic()
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        for _ in rounds:
            time.sleep(every)
            state, after, now = hsm.state(), read(hsm), time.monotonic()
            live.update(view(state, before, after, now - began), refresh=True)
            before, began = after, now
    if not console.is_terminal:
        console.line()  # Live ends its last line on a terminal alone.


def _usage_view(
    by: str, state: str, before: Mapping[str, int], after: Mapping[str, int], seconds: float
) -> "Table":
    """Return the most active of these seconds, then those with the highest counts."""
    table = _table(state, by.capitalize(), "A second", "In all")
    rates = {name: (count - before.get(name, 0)) / seconds for name, count in after.items()}
    order = sorted(after, key=lambda name: (-rates[name], -after[name], name))
    for name in order[:_MOST_ROWS]:
        table.add_row(printable(name), f"{max(0.0, rates[name]):,.1f}", f"{after[name]:,}")
    return table


def _table(state: str, *columns: str) -> "Table":
    """Return an empty table whose last two columns are numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=Text(f"HSM {printable(state)}"), box=None)
    for column in table.columns[-2:]:
        column.justify = "right"
    return table


def _samples(hsm: Client) -> Samples:
    return parse(hsm.get_bytes("/metrics", accept="text/plain").decode())


def _metrics_view(state: str, before: Samples, after: Samples, seconds: float) -> "Table":
    readings = Readings(before, after, seconds)
    table = _table(state, "Metric", "Of", "A second", "Now")
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
