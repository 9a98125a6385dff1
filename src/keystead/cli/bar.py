"""A progress bar on stderr.

It loads rich, which most commands do without: they start faster.
"""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """How many things are done a second; rich has that for bytes only."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")


@contextlib.contextmanager
def bar(what: str, total: int | None, *, is_bytes: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left, and give what tells it how much more is done."""
    units: tuple[ProgressColumn, ...] = (MofNCompleteColumn(), _Rate())
    if is_bytes:
        units = (DownloadColumn(), TransferSpeedColumn())
    columns = (TextColumn(what), BarColumn(), *units, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=total)
        yield lambda more: shown.update(task, advance=more)
