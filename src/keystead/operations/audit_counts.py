"""Uses of keys and refusals between two writes of the journal: equal ones share an entry."""

from collections.abc import Callable
from typing import Final

from keystead.access.gate import Attempt
from keystead.journal.audit.entries import JournalEntry, rfc3339
from keystead.journal.audit.tallies import Tallies
from keystead.journal.log import REQUEST
from keystead.model.journal_settings import JournalSettings
from keystead.model.users import Caller
from keystead.operations.audit_actions import use_entry

USES_SECONDS: Final = 10.0
"""The time whose equal uses share an entry."""
MOST_EACH: Final = 100_000
"""The uses that wait for an entry of their own between two writes."""
MOST_REFUSALS: Final = 1000


class AuditCounts:
    """Counts uses of keys and refusals, as the settings say, until `take` makes entries of them.

    Its memory is bounded. Events that find no place are `lost`: one entry tells their number.
    """

    def __init__(
        self,
        settings: JournalSettings,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        require_room: Callable[[], None],
    ) -> None:
        """`require_room` raises WriteRefused if the journal is full."""
        self._now = now
        self._monotonic = monotonic
        self._require_room = require_room
        self._uses = Tallies[Attempt]()
        self._use_of = self._uses.of
        self._refused = Tallies[JournalEntry](most=MOST_REFUSALS)
        self._each: list[tuple[Attempt, float, int]] = []
        """Uses that get an entry each, with their time and request."""
        self._taken_at = monotonic()
        self._refuses = False
        self.lost = 0
        """Events that got no entry."""
        self.use: Callable[[Attempt], None]
        """Records a permitted use. Raises WriteRefused if the journal is full and refuses uses."""
        self.follow(settings)

    def follow(self, settings: JournalSettings) -> None:
        """Count from now on as these settings say."""
        self._refuses = settings.when_full == "refuse"
        self.use = {"off": _ignore, "counted": self._count, "each": self._itemise}[settings.uses]

    def _count(self, attempt: Attempt) -> None:
        if self._refuses:
            self._require_room()
        # A key and a caller in the caches are the same objects at each use. The tally keeps them.
        kind = (id(attempt.key), id(attempt.caller), attempt.use, attempt.mode, attempt.address)
        tally = self._use_of(kind)
        if tally is not None:
            tally.count += attempt.uses
        else:
            self._uses.add(kind, attempt.uses, attempt)

    def _itemise(self, attempt: Attempt) -> None:
        if self._refuses:
            self._require_room()
        if len(self._each) >= MOST_EACH:
            self.lost += attempt.uses
            return
        self._each.append((attempt, self._now(), REQUEST.get() or 0))

    def use_refused(self, attempt: Attempt, reason: str) -> None:
        """Count a refused use, or batch of uses."""
        self._refuse(attempt, reason, 1)

    def use_withdrawn(self, attempt: Attempt, reason: str) -> None:
        """Take back a use that was recorded, and count it as a refused one.

        If its entry is made already, the refusal says so, and counts all uses of a batch.
        """
        if self.use is _ignore:
            return
        if self._take_back(attempt):
            self.use_refused(attempt, reason)
        else:
            reason = f"This use was counted before, and not made: {reason}"
            self._refuse(attempt, reason, attempt.uses)

    def _take_back(self, attempt: Attempt) -> bool:
        for place in range(len(self._each) - 1, -1, -1):
            if self._each[place][0] is attempt:
                del self._each[place]
                return True
        kind = (id(attempt.key), id(attempt.caller), attempt.use, attempt.mode, attempt.address)
        return self._uses.take_back(kind, attempt.uses)

    def _refuse(self, attempt: Attempt, reason: str, count: int) -> None:
        entry = use_entry(attempt)
        entry.outcome = reason
        kind = (entry.who, entry.namespace, entry.key, entry.action, entry.mode, reason)
        self._refused.add(kind, count, entry)

    def request_refused(
        self, caller: Caller | None, action: str, address: str, status: int
    ) -> None:
        """Count a refused request of this caller, if one is known."""
        self.refused("" if caller is None else str(caller.user_id), action, address, status)

    def refused(self, who: str, action: str, address: str, status: int) -> None:
        """Count a request that has changed nothing. `who` is "" if its caller is unknown.

        Requests of unknown callers are counted by status alone. Otherwise anyone could fill the
        journal.
        """
        entry = JournalEntry("", action if who else "requests", who, address, outcome=str(status))
        self._refused.add((who, entry.action, status), 1, entry)

    def take(self, *, everything: bool) -> list[JournalEntry]:
        """Return the entries of what was counted, and begin again.

        Only uses with an entry each are returned, unless ten seconds are over since the others
        were, or `everything` is wanted.
        """
        each, self._each = self._each, []
        entries = [_itemised(*use) for use in each]
        if not everything and self._monotonic() - self._taken_at < USES_SECONDS:
            return entries
        self._taken_at = self._monotonic()
        time = rfc3339(self._now())
        for use in self._uses.take():
            entry = use_entry(use.subject)
            entry.time, entry.count = time, use.count
            entries.append(entry)
        for refused in self._refused.take():
            entry = refused.subject
            entry.time, entry.count = time, refused.count
            entries.append(entry)
        if lost := self._take_lost():
            entries.append(JournalEntry(time, "not itemised", count=lost))
        return entries

    def _take_lost(self) -> int:
        lost = self.lost + self._uses.rest + self._refused.rest
        self.lost = self._uses.rest = self._refused.rest = 0
        return lost


def _itemised(attempt: Attempt, seconds: float, request: int) -> JournalEntry:
    entry = use_entry(attempt)
    entry.time, entry.request = rfc3339(seconds), request
    entry.count = attempt.uses if attempt.uses > 1 else 0
    return entry


def _ignore(_: Attempt) -> None:
    """Record nothing."""
