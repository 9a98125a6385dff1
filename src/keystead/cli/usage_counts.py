"""How often each key was used and each user did something, for `keystead top --by`."""

import json
from collections import Counter
from typing import Protocol

from keystead.client.client import Client


class UsageCounts(Protocol):
    """Counts that only grow."""

    def read(self, hsm: Client) -> dict[str, int]:
        """Return the count of each key or user until now."""
        ...


class UsesOfKeys:
    """The uses of each key, as an Operator or Administrator sees them."""

    def read(self, hsm: Client) -> dict[str, int]:
        """Return the uses of each key since it was made."""
        return {key["id"]: key.get("operations", 0) for key in hsm.list_keys()}


class ActionsOfUsers:
    """What each user did, as the journal counts it. For Auditors and root Administrators."""

    def __init__(self) -> None:
        self._next = 0
        """The number of the first entry that was not read; 0 before the first reading."""
        self._counts: Counter[str] = Counter()

    def read(self, hsm: Client) -> dict[str, int]:
        """Return the events of each user since the first reading."""
        if not self._next:
            self._next = hsm.get("/journal/head")["n"] + 1
            return {}
        for line in hsm.get_bytes(f"/journal?from={self._next}").splitlines():
            entry = json.loads(line)
            if "n" not in entry:
                continue  # The anchor.
            self._next = entry["n"] + 1
            if who := entry.get("who"):
                self._counts[who] += entry.get("count", 1)
        return dict(self._counts)
