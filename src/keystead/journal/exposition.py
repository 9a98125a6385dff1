"""Metrics as text: Prometheus's exposition format 0.0.4, and OpenMetrics 1.0."""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

import msgspec

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_TOTAL: Final = "_total"


class MetricType(Enum):
    """The kind of a family. The value is its name in both formats."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Sample(msgspec.Struct, frozen=True):
    """One number. Label values are constants of ours, so they need no escaping."""

    value: float
    suffix: str = ""
    labels: tuple[tuple[str, str], ...] = ()


class Family(msgspec.Struct, frozen=True):
    """All samples of one name. A counter's name is without `_total`."""

    name: str
    kind: MetricType
    description: str
    samples: tuple[Sample, ...]


def prometheus(families: Iterable[Family]) -> str:
    """Return the families in format 0.0.4, where a counter's family has `_total` in its name."""
    lines: list[str] = []
    for family in families:
        suffix = _TOTAL if family.kind is MetricType.COUNTER else ""
        lines.extend(_family(family, family.name + suffix))
    return "\n".join(lines) + "\n"


def openmetrics(families: Iterable[Family]) -> str:
    """Return the families as OpenMetrics, where only a counter's samples have `_total`."""
    lines = [line for family in families for line in _family(family, family.name)]
    return "\n".join(lines) + "\n# EOF\n"


def _family(family: Family, name: str) -> Iterator[str]:
    yield f"# HELP {name} {family.description}"
    yield f"# TYPE {name} {family.kind.value}"
    for sample in family.samples:
        suffix = _TOTAL if family.kind is MetricType.COUNTER else sample.suffix
        labels = ",".join(f'{label}="{value}"' for label, value in sample.labels)
        labels = f"{{{labels}}}" if labels else ""
        yield f"{family.name}{suffix}{labels} {sample.value}"
