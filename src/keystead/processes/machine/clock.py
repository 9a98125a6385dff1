"""Keeps the machine's clock at the time of a time server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from keystead.processes.machine import kernel

PAUSE_SECONDS: Final = 1024.0
SHORT_PAUSE_SECONDS: Final = 16.0
"""After an answer that did not come, and after the clock was set."""

SLEW_SECONDS: Final = 0.5
"""A smaller error is taken away slowly, so that no time comes twice."""
MAX_STEP_SECONDS: Final = 1000.0
"""After the first answer, the clock is not set by more: a server that is wrong, or a forged
answer, must not move the end of a key's policy."""

Tell = Callable[[str], None]


class Clock:
    """Decides what to do about errors of the clock."""

    def __init__(
        self, tell: Tell, *, slew: Callable[[float], None], step: Callable[[float], None]
    ) -> None:
        """`slew` takes an error away slowly, `step` at once."""
        self._tell = tell
        self._slew = slew
        self._step = step
        self._has_time = False
        self._is_silent = False

    def learned(self, error: float | None) -> float:
        """Correct the clock by `error` seconds. Return the seconds until the next question."""
        if error is None:
            self._complain("the time server gives no usable answer")
            return SHORT_PAUSE_SECONDS
        if abs(error) > MAX_STEP_SECONDS and self._has_time:
            self._complain(f"the time server's time is {error:.0f} s off: ignored")
            return PAUSE_SECONDS
        is_small = abs(error) < SLEW_SECONDS
        try:
            (self._slew if is_small else self._step)(error)
        except OSError as refusal:  # Such as a time before 1970.
            self._complain(f"the time server's time cannot be used: {refusal.strerror}")
            return PAUSE_SECONDS
        self._has_time, self._is_silent = True, False
        if is_small:
            return PAUSE_SECONDS
        self._tell(f"the clock was {error:.1f} s behind the time server, and is set")
        return SHORT_PAUSE_SECONDS

    def _complain(self, line: str) -> None:
        if not self._is_silent:
            self._tell(line)
        self._is_silent = True


def step(error: float) -> None:
    """Set the machine's clock `error` seconds forward. Raises OSError if the kernel refuses it."""
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + error)


async def keep_time(ask: Callable[[], Awaitable[float | None]], tell: Tell) -> None:
    """Ask again and again, and correct the clock, until cancelled."""
    clock = Clock(tell, slew=kernel.slew_clock, step=step)
    while True:
        pause = clock.learned(await ask())
        await asyncio.sleep(pause)
