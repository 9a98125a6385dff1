"""The alarm while the store cannot write, as on a full disk. Everything that only reads goes on.

On a full disk the store still takes what deletes or replaces. So the alarm ends only with an empty
commit: the store makes one only while it would also take a record more.
"""

from keystead.journal.log import Log
from keystead.journal.metrics import Metrics


class WriteAlarm:
    """Raised by the first commit that is refused, and ended by the next empty one that is made."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self.reason: str | None = None
        """Why the store cannot write; None while it can."""

    def written(self, changes: int) -> None:
        """Count the changes of a commit; none: it was made to ask whether the store can write."""
        self._metrics.count_writes(changes)
        if not changes and self.reason is not None:
            self.reason = None
            self._log.warning("the store can write again")

    def refused(self, reason: str) -> None:
        """Note that a commit was refused; logged once, until the store can write again."""
        if self.reason is None:
            self._log.error("the store cannot write: changes are refused", reason=reason)
        self.reason = reason
