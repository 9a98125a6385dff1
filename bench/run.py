"""What every kind of case is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.result import Row


@dataclass(frozen=True)
class Run:
    """How a run is to be made."""

    folder: Path
    """On the disk that is to be measured; emptied afterwards."""
    seconds: float
    """Of one round under load."""
    rounds: int
    edges: int
    keys: int
    """In the largest store."""


@dataclass(frozen=True)
class Series:
    """One line of a plot: points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """A plot, with a logarithmic axis for x."""

    name: str
    """The file's, without its ending."""
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]


@dataclass(frozen=True)
class Findings:
    """What one kind of case came to."""

    rows: Sequence[Row] = ()
    plots: Sequence[Plot] = ()
    failures: Sequence[str] = ()
    """What could not be measured, and why."""
