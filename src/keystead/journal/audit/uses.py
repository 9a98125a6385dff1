"""Counts of equal events, each of which becomes one entry."""

from typing import Generic, TypeVar

MOST_KINDS = 10_000
"""The kinds of events that are counted one by one between two writes."""
MOST_EACH = 100_000
"""The uses that wait for an entry of their own between two writes."""

Subject = TypeVar("Subject")


class Tallies(Generic[Subject]):
    """Counts events by their kind. Its memory is bounded: what finds no place is `rest`."""

    def __init__(self, *, most: int = MOST_KINDS) -> None:
        self._most = most
        self._kinds: dict[object, tuple[list[int], Subject]] = {}
        self.rest = 0

    def add(self, kind: object, count: int, subject: Subject) -> None:
        """Count events of a kind. The first one's subject is kept."""
        tally = self._kinds.get(kind)
        if tally is not None:
            tally[0][0] += count
        elif len(self._kinds) < self._most:
            self._kinds[kind] = ([count], subject)
        else:
            self.rest += count

    def take(self) -> list[tuple[Subject, int]]:
        """Return the subject of each kind with its count, and forget them. `rest` stays."""
        taken, self._kinds = self._kinds, {}
        return [(subject, count[0]) for count, subject in taken.values()]
