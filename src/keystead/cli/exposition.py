"""Metrics in Prometheus's text format, as far as Keystead writes it, and what two readings say."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_SAMPLE: Final = re.compile(r"(?m)^(\w+)(?:\{([^}]*)\})? (\S+)$")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_COUNTER: Final = "_total"
_BUCKET: Final = "_bucket"
_HISTOGRAM_PARTS: Final = (_BUCKET, "_count", "_sum")

Samples = Mapping[tuple[str, str], float]
"""Values by name and labels, `a=b c=d`."""


def parse(text: str) -> dict[tuple[str, str], float]:
    """Return the samples of a text."""
    return {
        (name, " ".join("=".join(pair) for pair in _LABEL.findall(labels))): float(value)
        for name, labels, value in _SAMPLE.findall(text)
    }


@dataclass(frozen=True, slots=True)
class Readings:
    """Two readings of the metrics, and what happened between them."""

    before: Samples
    after: Samples
    seconds: float

    def rates(self) -> Iterator[tuple[str, str, float, float]]:
        """Yield each counter that is not 0: name, labels, how many a second, how many in all."""
        for (name, labels), value in self.after.items():
            if name.endswith(_COUNTER) and value:
                grown = max(0.0, value - self.before.get((name, labels), 0.0))
                yield name.removesuffix(_COUNTER), labels, grown / self.seconds, value

    def gauges(self) -> Iterator[tuple[str, str, float]]:
        """Yield what is neither a counter nor a part of a histogram: name, labels, value."""
        for (name, labels), value in self.after.items():
            if not name.endswith((_COUNTER, *_HISTOGRAM_PARTS)):
                yield name, labels, value

    def quantile(self, histogram: str, share: float) -> float | None:
        """Return the bound that this share of the observations did not exceed, None without any."""
        counts = sorted(
            (float(labels.removeprefix("le=")), value - self.before.get((name, labels), 0.0))
            for (name, labels), value in self.after.items()
            if name == histogram + _BUCKET
        )
        if not counts or counts[-1][1] <= 0:
            return None
        return next(bound for bound, count in counts if count >= share * counts[-1][1])
