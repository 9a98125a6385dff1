"""What the benchmark finds: rows, as a table and as data."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bound:
    """What a figure must not go below, or not above."""

    value: float
    is_most: bool = False

    def holds(self, figure: float) -> bool:
        """Whether `figure` keeps to it."""
        return figure <= self.value if self.is_most else figure >= self.value


def at_least(value: float) -> Bound:
    """Return the bound for what should be high."""
    return Bound(value)


def at_most(value: float) -> Bound:
    """Return the bound for what should be low."""
    return Bound(value, is_most=True)


@dataclass(frozen=True)
class Reference:
    """The same work done by something else in alternation with the measured rounds."""

    name: str
    rounds: Sequence[float]
    wanted_ratio: Bound | None = None


@dataclass(frozen=True)
class Row:
    """One figure of one case, round by round."""

    case: str
    unit: str
    rounds: Sequence[float]
    target: Bound | None = None
    reference: Reference | None = None
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    """CPU microseconds a request, by process; the load generator is `load`."""

    @property
    def measured(self) -> float:
        """The median round."""
        return statistics.median(self.rounds)

    @property
    def ratio(self) -> float | None:
        """The median of measured over reference, each round by its neighbour."""
        if self.reference is None:
            return None
        pairs = zip(self.rounds, self.reference.rounds, strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    @property
    def met(self) -> bool | None:
        """Whether every bound holds; None when there is none."""
        checks = []
        if self.target is not None:
            checks.append(self.target.holds(self.measured))
        if self.reference is not None and self.reference.wanted_ratio is not None:
            checks.append(self.reference.wanted_ratio.holds(self.ratio or 0.0))
        return all(checks) if checks else None

    def as_data(self) -> dict[str, object]:
        """Return the row for JSON."""
        reference = self.reference
        return {
            "case": self.case,
            "unit": self.unit,
            "measured": self.measured,
            "rounds": list(self.rounds),
            "target": _bound_data(self.target),
            "reference": None if reference is None else statistics.median(reference.rounds),
            "reference_name": None if reference is None else reference.name,
            "ratio": self.ratio,
            "ratio_target": None if reference is None else _bound_data(reference.wanted_ratio),
            "met": self.met,
            "cpu_us_per_request": dict(self.cpu_us),
        }


PROCESSES = ("load", "edge", "core", "platform", "supervisor")
_HEAD = ("case", "measured", "rounds", "target", "reference", "ratio", "wanted", "met")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = [*_HEAD, "CPU µs a request: " + ", ".join(PROCESSES)]
    lines = [head, ["---"] * len(head), *map(_cells, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row: Row) -> list[str]:
    reference = row.reference
    theirs = "" if reference is None else number(statistics.median(reference.rounds))
    return [
        row.case,
        f"{number(row.measured)} {row.unit}",
        f"{number(min(row.rounds))} to {number(max(row.rounds))}" if len(row.rounds) > 1 else "",
        "" if row.target is None else f"{_bound_text(row.target)} {row.unit}",
        "" if reference is None else f"{theirs}: {reference.name}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if reference is None else _bound_text(reference.wanted_ratio),
        {None: "", True: "yes", False: "**no**"}[row.met],
        ", ".join(f"{row.cpu_us.get(name, 0):.0f}" for name in PROCESSES) if row.cpu_us else "",
    ]


def number(value: float) -> str:
    """Return a figure with as many digits as it is worth."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.3g}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004


def _bound_text(bound: Bound | None) -> str:
    if bound is None:
        return ""
    return f"{'≤' if bound.is_most else '≥'} {bound.value:,g}"


def _bound_data(bound: Bound | None) -> dict[str, float] | None:
    return None if bound is None else {"at_most" if bound.is_most else "at_least": bound.value}
