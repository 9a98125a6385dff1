"""What became of the published cases: how many were right, and how many were skipped, and why."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PROPERTY = "vectors"
"""The name under which a test reports its cases."""

OPEN = "the standard leaves the answer open"


class Tally:
    """The cases of one algorithm in one source."""

    def __init__(self) -> None:
        self.right = 0
        self.wrong: list[Any] = []
        self.skipped: Counter[str] = Counter()

    def check(self, case: dict[str, Any], *, is_right: bool) -> None:
        """Count a case that was run; one that Wycheproof calls acceptable is neither."""
        if case.get("result") == "acceptable":
            self.skip(OPEN)
        elif is_right:
            self.right += 1
        else:
            self.wrong.append(case)

    def skip(self, reason: str, cases: int = 1) -> None:
        """Count cases that the API cannot be asked, for this reason."""
        self.skipped[reason] += cases


@contextmanager
def tallied(report: Callable[[str, Any], None], algorithm: str, source: str) -> Iterator[Tally]:
    """Give a tally to fill. Fails if a case was wrong, and if there was none at all."""
    tally = Tally()
    yield tally
    report(PROPERTY, [algorithm, source, tally.right, dict(tally.skipped)])
    assert not tally.wrong, tally.wrong[:5]
    assert tally.right or tally.skipped, f"{source} has no cases for {algorithm}"


def table(reported: list[Any]) -> list[str]:
    """Return the lines of a table of what the tests have reported, by algorithm and source."""
    right: Counter[tuple[str, str]] = Counter()
    skipped: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for algorithm, source, passed, reasons in reported:
        right[algorithm, source] += passed
        skipped[algorithm, source].update(reasons)
    lines = [f"{'algorithm':<16}{'source':<12}{'right':>7}{'skipped':>9}"]
    for row in sorted(right):
        reasons = skipped[row]
        lines.append(f"{row[0]:<16}{row[1]:<12}{right[row]:>7}{reasons.total():>9}")
        lines += [
            f"{'':<28}{'':>7}{cases:>9}  {reason}" for reason, cases in sorted(reasons.items())
        ]
    lines.append(f"{'all':<28}{right.total():>7}{sum(map(Counter.total, skipped.values())):>9}")
    return lines
