"""A pool of threads that tests can watch."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from keystead.operations.shares import HSM, Party
from keystead.operations.work_pool import WorkPool

Result = TypeVar("Result")


class WatchedPool(WorkPool):
    """Counts what it has run, and does something of the test's after each."""

    def __init__(self, *, threads: int = 2, queue_limit: int = 64, spares: int = 0) -> None:
        super().__init__(name="watched", threads=threads, queue_limit=queue_limit, spares=spares)
        self.runs = 0
        self.after_run: Callable[[], Awaitable[None]] | None = None

    async def run(self, work: Callable[[], Result], *, party: Party = HSM) -> Result:
        try:
            return await super().run(work, party=party)
        finally:
            self.runs += 1
            after_run, self.after_run = self.after_run, None
            if after_run is not None:
                await after_run()
