"""How fast a restore without credentials must come to keep the one place that there is for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from keystead.errors import Conflict

FIRST_SECONDS: Final = 30.0
LEAST_BYTES_A_SECOND: Final = 256 * 1024
MOST_SECONDS: Final = 1800.0
"""What it may take: so long at first, so fast then, and so long at most."""

SURE_SECONDS: Final = 10.0
SURE_BYTES_A_SECOND: Final = 1024 * 1024
"""What it may take before another restore gets its place: so long at first, and so fast then."""


class RestorePace:
    """Keeps time for the file of one restore."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = monotonic()
        self._received = 0
        self._has_made_way = False
        self._has_ended = False
        self._reading: asyncio.Future[bytes | None] | None = None

    async def parts(self, file: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the parts of the file. Raises Conflict when it is too slow, or has made way."""
        while (part := await self._next(file)) is not None:
            self._received += len(part)
            if self._is_slower_than(FIRST_SECONDS, LEAST_BYTES_A_SECOND, MOST_SECONDS):
                raise Conflict("A restore without credentials must arrive faster.")
            yield part
        self._has_ended = True

    def makes_way(self) -> bool:
        """Give up the place if the file comes slowly; return whether it is given up."""
        if self._has_ended or not self._is_slower_than(SURE_SECONDS, SURE_BYTES_A_SECOND):
            return False
        self._has_made_way = True
        if self._reading is not None:
            self._reading.cancel()
        return True

    async def _next(self, file: AsyncIterator[bytes]) -> bytes | None:
        self._reading = asyncio.ensure_future(anext(file, None))
        try:
            part = await self._reading
        except asyncio.CancelledError:
            self._require_place()
            raise
        self._require_place()
        return part

    def _require_place(self) -> None:
        if self._has_made_way:
            raise Conflict("Another restore has taken the place of this one, which was slow.")

    def _is_slower_than(
        self, first_seconds: float, bytes_a_second: int, most_seconds: float = MOST_SECONDS
    ) -> bool:
        seconds = self._monotonic() - self._began
        return seconds > min(first_seconds + self._received / bytes_a_second, most_seconds)
