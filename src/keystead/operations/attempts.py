"""The brake on guessing: one second of refusal after a failed attempt."""

from collections.abc import Callable

from keystead.errors import TooManyAttempts

REFUSAL_SECONDS = 1.0
_SWEEP_AT = 10_000
"""Entries at which the expired ones are dropped: many addresses must not fill memory."""

Subject = tuple[str, str]
"""Who is braked: the client's address and the user name (or a fixed word, for unlock)."""


class FailedAttempts:
    """Who failed within the last second. Refused attempts do not prolong the refusal."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._refused_until: dict[Subject, float] = {}

    def __bool__(self) -> bool:
        """Whether there may be anyone to refuse; a cheap question before `require_none`."""
        return bool(self._refused_until)

    def require_none(self, subject: Subject) -> None:
        """Raise TooManyAttempts when `subject` failed less than a second ago."""
        until = self._refused_until.get(subject)
        if until is None:
            return
        if self._monotonic() < until:
            raise TooManyAttempts("Too many attempts; wait a second.")
        del self._refused_until[subject]

    def record(self, subject: Subject) -> None:
        """Refuse `subject` for the next second."""
        now = self._monotonic()
        if len(self._refused_until) >= _SWEEP_AT:
            self._sweep(now)
        self._refused_until[subject] = now + REFUSAL_SECONDS

    def _sweep(self, now: float) -> None:
        self._refused_until = {
            subject: until for subject, until in self._refused_until.items() if until > now
        }
