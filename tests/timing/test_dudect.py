"""The test of timing itself: its arithmetic, what it finds and what it does not."""

import asyncio
import math

import pytest

from tests.timing import dudect
from tests.timing.dudect import Finding, find, measure, welch

ONE, OTHER = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9], [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8]


def test_t_is_welchs():
    # Worked out by hand: means 21.0 and 166/7, variances 15.724 and 4.581.
    assert welch(ONE, OTHER) == pytest.approx(-1.4998, abs=1e-4)
    assert welch(OTHER, ONE) == -welch(ONE, OTHER)
    assert welch([1, 1], [2, 2]) == -math.inf


def test_what_interrupts_a_measurement_hides_no_difference():
    quiet = {"slow": [100 + n % 7 for n in range(500)], "fast": [90 + n % 7 for n in range(500)]}
    noisy = {kind: [*values, *[10**6] * 30] for kind, values in quiet.items()}
    assert abs(welch(noisy["slow"], noisy["fast"])) < 1
    slow, fast = find(noisy)
    assert slow.t > 50
    assert slow.difference_ns == pytest.approx(10)
    assert (slow.kind, fast.kind) == ("slow", "fast")
    assert fast.t == -slow.t


def test_a_finding_has_to_be_large_in_both_ways():
    assert Finding("x", -10.1, -300).is_beyond(200)
    assert not Finding("x", 9.9, 300).is_beyond(200)
    assert not Finding("x", 1000, 199).is_beyond(200)


async def test_every_kind_is_measured_as_often_as_asked():
    seen = []

    async def note(given: str) -> None:
        seen.append(given)

    measured = await measure(note, {"a": ["1", "2"], "b": ["3"]}, samples=50)
    assert {kind: len(values) for kind, values in measured.items()} == {"a": 50, "b": 50}
    assert set(seen) == {"1", "2", "3"}


async def test_what_does_not_happen_again_is_no_leak(monkeypatch, tmp_path):
    monkeypatch.setattr(dudect, "REPORT", str(tmp_path / "report"))
    rounds = iter([({"a": [5000] * 50, "b": [1] * 50}), ({"a": [1] * 50, "b": [5000] * 50})])

    async def measured(*_: object) -> object:
        return next(rounds)

    monkeypatch.setattr(dudect, "measure", measured)
    found = await dudect.examine("a case", asyncio.sleep, {}, samples=50, floor_ns=1)
    assert not found.leaks
    assert not list(rounds)
    assert (tmp_path / "report").read_text() == f"{found}\n"
