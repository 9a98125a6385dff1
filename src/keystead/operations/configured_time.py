"""The configured time: the machine's clock, and the offset that an Administrator gave it."""

import math
from collections.abc import Callable
from typing import Final

from keystead.operations.caller_context import CallerContext
from keystead.storage.key_value_store import Change, KeyValueStore
from keystead.storage.local import LocalStore
from keystead.storage.settings import TIME_OFFSET

LATEST_TIME: Final = 253_402_300_799.0
"""9999-12-31T23:59:59Z, the latest time that HTTP and RFC 3339 can express."""


class ConfiguredTime:
    """The configured time, kept as an offset to the machine's clock. `load` comes first."""

    def __init__(
        self, wall_clock: Callable[[], float], store: KeyValueStore, local: LocalStore
    ) -> None:
        """`wall_clock` is the machine's clock, in Unix seconds."""
        self._wall_clock: Final = wall_clock
        self._store: Final = store
        self._local: Final = local
        self.offset = 0
        """Seconds that are added to the machine's clock, as the store has them."""

    async def load(self) -> None:
        """Read the offset from the store.

        Raises CorruptRecord if its record is damaged, and StoreUnavailable if the store cannot be
        read.
        """
        self.offset = await self._local.settings.get(TIME_OFFSET) or 0

    def now(self) -> float:
        """Return the configured time, in Unix seconds from 0 to LATEST_TIME."""
        now = self._wall_clock() + self.offset
        if 0.0 <= now <= LATEST_TIME:  # Each request asks, and min and max take long.
            return now
        return min(max(now, 0.0), LATEST_TIME)

    def offset_to(self, system_time: float) -> int:
        """Return the offset from the machine's clock to `system_time`, in seconds."""
        # Rounded up, so that the time read back is not before the time just set.
        return math.ceil(system_time - self._wall_clock())

    def without_offset(self) -> Change:
        """Return the change after which the machine's clock is the configured time."""
        return self._local.settings.put(TIME_OFFSET, 0)

    async def set(self, context: CallerContext, system_time: float) -> None:
        """Set the configured time to `system_time`, in Unix seconds."""
        offset = self.offset_to(system_time)
        await self._store.commit([self._local.settings.put(TIME_OFFSET, offset)])
        self.offset = offset
        context.note("time set")
