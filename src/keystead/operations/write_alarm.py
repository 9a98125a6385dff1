"""The alarm while the store cannot write, as on a full disk. Operations that only read go on.

On a full disk, the store still accepts changes that delete or replace. So only an empty commit ends
the alarm: the store accepts an empty commit only if it would also accept another record.
"""

from keystead.journal.log import Log
from keystead.journal.metrics import Metrics


class WriteAlarm:
    """The alarm. A refused commit raises it, and the next accepted empty commit ends it."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self.reason: str | None = None
        """Why the store cannot write; None while it can."""

    def written(self, changes: int) -> None:
        """Count the changes of a commit. An empty commit shows that the store can write."""
        self._metrics.count_writes(changes)
        if not changes and self.reason is not None:
            self.reason = None
            self._log.warning("the store can write again")

    def refused(self, reason: str) -> None:
        """Raise the alarm because a commit was refused. It is logged once until it ends."""
        if self.reason is None:
            self._log.error("the store cannot write: changes are refused", reason=reason)
        self.reason = reason
