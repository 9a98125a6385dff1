"""A rate limit for log events that clients can cause at will."""

from collections.abc import Callable


class Pace:
    """Allows a burst of lines, and then a number of lines in each second."""

    def __init__(self, monotonic: Callable[[], float], *, at_once: int, a_second: float) -> None:
        """`monotonic` gives seconds."""
        self._monotonic = monotonic
        self._at_once = at_once
        self._a_second = a_second
        self._allowed = float(at_once)
        self._counted_at = monotonic()
        self._skipped = 0

    def step(self) -> int | None:
        """Return how many lines were skipped before this one, or None to skip this one too."""
        now = self._monotonic()
        earned = (now - self._counted_at) * self._a_second
        self._allowed = min(self._at_once, self._allowed + earned)
        self._counted_at = now
        if self._allowed < 1:
            self._skipped += 1
            return None
        self._allowed -= 1
        skipped, self._skipped = self._skipped, 0
        return skipped
