"""What the core counts about itself, under NetHSM's names."""

import gc
from collections import Counter
from collections.abc import Callable

RESPONSE_TIME_SMOOTHING = 0.3
"""Weight of the newest response in the moving average, as NetHSM weighs it."""


class Metrics:
    """Counters since the core started."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._responses: Counter[int] = Counter()
        self._key_operations: Counter[str] = Counter()
        self._response_seconds = 0.0
        self._writes = 0

    def count_key_operation(self, kind: str) -> None:
        """Count one of `generate`, `sign`, `decrypt`, `encrypt`."""
        self._key_operations[kind] += 1

    def count_writes(self, number: int) -> None:
        """Count records written to the store."""
        self._writes += number

    def count_response(self, status: int, seconds: float) -> None:
        """Count an answered request and how long it took."""
        self._responses[status] += 1
        self._response_seconds += RESPONSE_TIME_SMOOTHING * (seconds - self._response_seconds)

    def values(self, *, log_warnings: int, log_errors: int) -> dict[str, str]:
        """Return every metric by NetHSM's name, each value as text."""
        collections = gc.get_stats()
        numbers: dict[str, int] = {
            "uptime": int(self._monotonic() - self._started),
            "log warnings": log_warnings,
            "log errors": log_errors,
            "gc major collections": collections[-1]["collections"],
            "gc minor collections": collections[0]["collections"],
            "kv write": self._writes,
            "http response total": self._responses.total(),
        }
        for kind in ("generate", "sign", "decrypt", "encrypt"):
            numbers[kind] = self._key_operations[kind]
        for status, count in sorted(self._responses.items()):
            numbers[f"http response {status}"] = count
        texts = {name: str(number) for name, number in numbers.items()}
        texts["http response time"] = f"{self._response_seconds:.6f}"
        return texts
