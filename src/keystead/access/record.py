"""Records the gate's decisions and refused requests as metrics and log events."""

from typing import Final, Protocol

from keystead.access.gate import Attempt
from keystead.journal.log import Level, Log
from keystead.journal.metrics import Metrics
from keystead.journal.pace import Pace
from keystead.model.users import Caller

# For each use: with Python 3.11, a member of an Enum is not found at the speed of a name.
_DEBUG: Final = Level.DEBUG


class Journal(Protocol):
    """What the recorder needs of the audit journal."""

    def use(self, attempt: Attempt, /) -> None:
        """Record a permitted use. Raises WriteRefused if a full journal refuses it."""
        ...

    def use_refused(self, attempt: Attempt, reason: str) -> None:
        """Record a refused use."""
        ...

    def use_withdrawn(self, attempt: Attempt, reason: str) -> None:
        """Take back a permitted use, and record why nothing came of it."""
        ...

    def request_refused(
        self, caller: Caller | None, action: str, address: str, status: int
    ) -> None:
        """Record a refused request."""
        ...


class AccessRecord:
    """Counts every decision, logs refusals at a bounded pace and permitted uses at debug."""

    def __init__(self, log: Log, metrics: Metrics, pace: Pace, journal: Journal) -> None:
        """`pace` limits the log events of refusals, because clients can repeat a request."""
        self._log = log
        self._metrics = metrics
        self._pace = pace
        self._journal = journal

    def permitted(self, attempt: Attempt) -> None:
        """Count a permitted use, and log it at debug.

        Raises WriteRefused if the journal is full and may not lose entries.
        """
        self._journal.use(attempt)
        self._metrics.uses_permitted += 1
        if self._log.threshold >= _DEBUG:
            self._log.debug("key use permitted", **_fields(attempt))

    def refused(self, attempt: Attempt, reason: str) -> None:
        """Count and log a refused use with the rule that refused it."""
        self._metrics.uses_refused += 1
        self._journal.use_refused(attempt, reason)
        if (unlogged := self._pace.step()) is not None:
            self._log.info("key use refused", **_fields(attempt), reason=reason, unlogged=unlogged)

    def not_used(self, attempt: Attempt, reason: str) -> None:
        """Take a permitted use out of the journal's count, which gets the reason instead."""
        self._journal.use_withdrawn(attempt, reason)

    def request_refused(
        self,
        caller: Caller | None,
        *,
        address: str,
        status: int,
        method: str,
        root: str,
        path: str,
    ) -> None:
        """Record and log a refused request. `path` is that of its route, below `root`."""
        self._journal.request_refused(caller, f"{method} {path}", address, status)
        if (unlogged := self._pace.step()) is not None:
            user = "" if caller is None else str(caller.user_id)
            self._log.info(
                "request refused",
                caller=user,
                address=address,
                status=status,
                unlogged=unlogged,
                method=method,
                path=root + path,
            )


def _fields(attempt: Attempt) -> dict[str, str | int]:
    return {
        "caller": str(attempt.caller.user_id),
        "address": attempt.address,
        "key": attempt.key.key_id,
        "namespace": attempt.key.namespace or "",
        "use": attempt.use.verb,
        "mode": attempt.mode,
        "uses": attempt.uses,
    }
