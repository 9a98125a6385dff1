"""Why an instance ends, and what comes after it."""

import asyncio
from enum import Enum, auto


class Outcome(Enum):
    """A reason to end an instance. Of several, the last in this order says what comes next."""

    CRASHED = auto()
    JOINED = auto()
    FACTORY_RESET = auto()
    REBOOT = auto()
    SHUTDOWN = auto()
    STOPPED = auto()


class Decision:
    """What ends an instance, and what was decided while it ended.

    Requests under way go on until the edges have ended, and each may ask for something that is
    acknowledged: a shutdown beside a reboot, for one.
    """

    def __init__(self) -> None:
        self._first: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._strongest = Outcome.CRASHED

    def add(self, outcome: Outcome) -> None:
        """End the instance for this reason. It counts also if the end has begun."""
        self._strongest = max(self._strongest, outcome, key=lambda one: one.value)
        if not self._first.done():
            self._first.set_result(outcome)

    @property
    def is_made(self) -> bool:
        """Whether the instance ends."""
        return self._first.done()

    async def first(self) -> Outcome:
        """Wait until there is a reason to end the instance, and return it."""
        return await asyncio.shield(self._first)

    @property
    def outcome(self) -> Outcome:
        """What comes after the instance, by all that was decided until now."""
        return self._strongest
