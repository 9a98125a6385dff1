"""Counts of equal events, each of which becomes one entry."""

from typing import Final, Generic, TypeVar

MOST_KINDS: Final = 10_000
"""The kinds of events that are counted one by one between two writes."""

Subject = TypeVar("Subject")


class Tally(Generic[Subject]):
    """How often events of a kind have happened, and the subject of the first."""

    __slots__ = ("count", "subject")

    def __init__(self, subject: Subject, count: int) -> None:
        self.subject = subject
        self.count = count


class Tallies(Generic[Subject]):
    """Counts events by their kind. Its memory is bounded: what finds no place is `rest`."""

    def __init__(self, *, most: int = MOST_KINDS) -> None:
        self._most = most
        self._kinds: dict[object, Tally[Subject]] = {}
        self.of: Final = self._kinds.get
        """Returns the tally of a kind, or None if there is none yet."""
        self.rest = 0

    def add(self, kind: object, count: int, subject: Subject) -> None:
        """Count events of a kind. The first one's subject is kept."""
        tally = self.of(kind)
        if tally is not None:
            tally.count += count
        elif len(self._kinds) < self._most:
            self._kinds[kind] = Tally(subject, count)
        else:
            self.rest += count

    def take_back(self, kind: object, count: int) -> bool:
        """Take events of a kind back. Return False, and do nothing, if fewer are counted."""
        tally = self.of(kind)
        if tally is None or tally.count < count:
            return False
        tally.count -= count
        if not tally.count:
            del self._kinds[kind]
        return True

    def take(self) -> list[Tally[Subject]]:
        """Return all tallies, and begin again without any. `rest` stays."""
        taken = list(self._kinds.values())
        self._kinds.clear()
        return taken
