"""The alarm while the store cannot write, as on a full disk. Everything that only reads goes on."""

from keystead.journal.log import Log
from keystead.journal.metrics import Metrics


class WriteAlarm:
    """Raised by the first commit that is refused, and ended by the next one that is made."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self.reason: str | None = None
        """Why the store cannot write; None while it can."""

    def written(self, changes: int) -> None:
        """Count the changes of a commit; they show that the store can write."""
        self._metrics.count_writes(changes)
        if self.reason is not None:
            self.reason = None
            self._log.warning("the store can write again")

    def refused(self, reason: str) -> None:
        """Note that a commit was refused; logged once, until the store can write again."""
        if self.reason is None:
            self._log.error("the store cannot write: changes are refused", reason=reason)
        self.reason = reason
