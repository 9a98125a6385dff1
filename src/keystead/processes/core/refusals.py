"""Counts of what the edges have refused by themselves, which are logged once a minute."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

from keystead.journal.log import Log
from keystead.journal.metrics import Metrics
from keystead.wire.edge_messages import Refusal

TELL_SECONDS: Final = 60.0
"""The interval between lines in the log, whatever the number of refusals."""


class RefusalLog:
    """Takes the counts of all edges. A captured edge can report wrong counts."""

    def __init__(self, metrics: Metrics, log: Log, *, tell_seconds: float = TELL_SECONDS) -> None:
        self._metrics = metrics
        self._log = log
        self._tell_seconds = tell_seconds
        self._untold: Counter[Refusal] = Counter()

    def note(self, counts: Mapping[Refusal, int]) -> None:
        """Add these counts. They are logged within `tell_seconds`."""
        self._metrics.count_refusals(counts)
        if not self._untold:
            asyncio.get_running_loop().call_later(self._tell_seconds, self._tell)
        self._untold.update(counts)

    def _tell(self) -> None:
        counts = {str(reason): count for reason, count in self._untold.items()}
        self._log.info("the edges refused connections or requests", **counts)
        self._untold.clear()
