"""Whether the time that something takes tells which kind of input it got: dudect's test.

Reparaz, Balasch, Verbauwhede: Dude, is my code constant time? (DATE 2017). Inputs of all kinds are
timed in random order; Welch's t-test says how unlikely the difference of two means is. What
disturbs a measurement only ever makes it longer, so the slowest ones are cropped, at several
percentiles, and the largest t counts. Without a leak |t| stays below about 5 whatever the number
of samples; with one it grows with their square root.

The time is the processor's, of all threads: that others use the machine does not count, and what is
measured here waits for nothing that depends on a secret.

On a busy machine chance alone gets further. A leak is only what is beyond THRESHOLD and a floor in
nanoseconds, and is so twice again with new samples, in the same direction.
"""

import math
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import SystemRandom
from typing import Final, TypeVar

Input = TypeVar("Input")
Measured = Mapping[str, Sequence[float]]
Operation = Callable[[Input], Awaitable[object]]

THRESHOLD: Final = 10.0
CONFIRMATIONS: Final = 2
CROPS: Final = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)
"""Of all measurements, the share that is kept: the fastest."""
FACTOR: Final = float(os.environ.get("KEYSTEAD_TIMING_SAMPLES", "1"))
"""How many times the usual number of samples to take."""
REPORT: Final = os.environ.get("KEYSTEAD_TIMING_REPORT")
"""A file that gets a line for each finding."""
WARM_UP: Final = 20
_RANDOM: Final = SystemRandom()


@dataclass(frozen=True, slots=True)
class Finding:
    """How far one kind stands out from all others."""

    kind: str
    t: float
    difference_ns: float
    """By how much longer it takes than the others, on average, at the crop of `t`."""

    def is_beyond(self, floor_ns: float) -> bool:
        return abs(self.t) > THRESHOLD and abs(self.difference_ns) > floor_ns


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a case: its worst finding, and whether it is a leak."""

    case: str
    worst: Finding
    samples: int
    leaks: bool

    def __str__(self) -> str:
        return (
            f"t {self.worst.t:+8.2f}  {self.worst.difference_ns:+10.0f} ns  "
            f"{self.samples:6d} samples  {self.case}: {self.worst.kind}"
        )


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t of two samples of at least two each: above 0 when `one` is larger."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    difference = statistics.fmean(one) - statistics.fmean(other)
    return difference / math.sqrt(spread) if spread else math.copysign(math.inf, difference)


def find(measured: Measured) -> list[Finding]:
    """Return how far each kind stands out, at the crop where it does most."""
    everything = sorted(value for values in measured.values() for value in values)
    limits = [everything[math.ceil(len(everything) * crop) - 1] for crop in CROPS]
    return [
        max((_at(measured, kind, limit) for limit in limits), key=lambda one: abs(one.t))
        for kind in measured
    ]


def _at(measured: Measured, kind: str, limit: float) -> Finding:
    one = [value for value in measured[kind] if value <= limit]
    others = [
        value
        for name, values in measured.items()
        for value in values
        if name != kind and value <= limit
    ]
    if min(len(one), len(others)) < WARM_UP:
        return Finding(kind, 0.0, 0.0)
    return Finding(kind, welch(one, others), statistics.fmean(one) - statistics.fmean(others))


async def measure(
    operation: Operation[Input], kinds: Mapping[str, Sequence[Input]], samples: int
) -> Measured:
    """Return the nanoseconds of `samples` runs for each kind, on inputs of it, in random order."""
    for inputs in kinds.values():
        for number in range(WARM_UP):
            await operation(inputs[number % len(inputs)])
    order = [kind for kind in kinds for _ in range(samples)]
    _RANDOM.shuffle(order)
    measured: dict[str, list[float]] = {kind: [] for kind in kinds}
    for kind in order:
        given = _RANDOM.choice(kinds[kind])
        began = time.process_time_ns()
        await operation(given)
        measured[kind].append(time.process_time_ns() - began)
    return measured


async def examine(
    case: str,
    operation: Operation[Input],
    kinds: Mapping[str, Sequence[Input]],
    *,
    samples: int,
    floor_ns: float,
) -> Verdict:
    """Measure, and again what looks like a leak; the verdict is printed and goes to REPORT."""
    samples = max(2 * WARM_UP, int(samples * FACTOR))
    worst = _worst(find(await measure(operation, kinds, samples)))
    leaks, confirmed = worst.is_beyond(floor_ns), 0
    while leaks and confirmed < CONFIRMATIONS:
        again = {one.kind: one for one in find(await measure(operation, kinds, samples))}
        same = again[worst.kind]
        leaks = same.is_beyond(floor_ns) and (same.t > 0) == (worst.t > 0)
        worst, confirmed = same, confirmed + 1
    verdict = Verdict(case, worst, samples, leaks)
    _report(verdict)
    return verdict


def _worst(findings: Sequence[Finding]) -> Finding:
    return max(findings, key=lambda one: abs(one.t))


def _report(verdict: Verdict) -> None:
    print(verdict)  # noqa: T201 - pytest shows it with -s or -rP
    if REPORT:
        with Path(REPORT).open("a") as file:
            file.write(f"{verdict}\n")
