"""Rate limiting of logins: a failed attempt is followed by one second in which others are refused.

The recent failures are kept, to be shown to Administrators.
"""

import hashlib
import ipaddress
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from keystead.errors import TooManyAttempts
from keystead.journal.log import Log
from keystead.journal.pace import Pace
from keystead.model.ids import MAX_USER_ID_LENGTH

REFUSAL_SECONDS: Final = 1.0
REMEMBERED_SECONDS: Final = 15 * 60.0
REMEMBERED_PAIRS: Final = 4096
"""When this many pairs of network and user are remembered, the oldest one is evicted and its rate
limit lapses. An attacker with this many addresses is not slowed by a limit for each of them."""

LOGGED_AT_ONCE: Final = 60
"""Failed attempts that may be logged in a burst. Guessing must not fill the log."""
LOGGED_A_SECOND: Final = 1
"""Failed attempts that may be logged in each second after the burst."""

UNLOCK: Final = "/unlock"
"""Replaces the user name for attempts with the unlock passphrase. No user name has a slash."""
UNKNOWN: Final = "/unknown-"
"""Replaces a user name that does not exist. A hash that tells these names apart follows. The name
itself is not shown: it may be a passphrase that was typed into the wrong field."""


@dataclass(frozen=True, slots=True)
class AttemptSubject:
    """What is rate-limited: a client's network together with the user name it gave, or UNLOCK."""

    network: str
    user: str
    address: str = field(compare=False)
    """The client's address in this attempt."""


def subject_of(address: str, user_name: str) -> AttemptSubject:
    """Return what to rate-limit. A name is cut where it is too long to belong to any user."""
    return AttemptSubject(network_of(address), user_name[: MAX_USER_ID_LENGTH + 1], address)


@lru_cache(maxsize=REMEMBERED_PAIRS)
def network_of(address: str) -> str:
    """Return the unit that is rate-limited: an IPv4 address, or the /64 of an IPv6 address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))


@dataclass(slots=True)
class Failures:
    """The failed attempts of one network and user; times in seconds of the monotonic clock."""

    address: str
    """The address of the latest attempt."""
    user: str
    first: float
    last: float
    failed: int = 0
    refused: int = 0
    """Attempts that were refused untried, because another had failed less than a second before."""


class RecentNetworks:
    """Networks of the last REMEMBERED_SECONDS, up to REMEMBERED_PAIRS of them."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._added = OrderedDict[str, float]()
        """When each network was added last, the longest ago first."""

    def add(self, network: str) -> bool:
        """Add a network. Return whether it is new."""
        now = self._monotonic()
        while self._added:
            oldest, added = next(iter(self._added.items()))
            if now < added + REMEMBERED_SECONDS and len(self._added) < REMEMBERED_PAIRS:
                break
            del self._added[oldest]
        is_new = self._added.pop(network, None) is None
        self._added[network] = now
        return is_new

    def __contains__(self, network: str) -> bool:
        added = self._added.get(network)
        return added is not None and self._monotonic() < added + REMEMBERED_SECONDS

    def discard(self, network: str) -> None:
        """Forget a network."""
        self._added.pop(network, None)


class FailedAttempts:
    """The recent failures. Attempts that are refused do not extend the refusal."""

    def __init__(self, monotonic: Callable[[], float], log: Log) -> None:
        self._monotonic = monotonic
        self._log = log
        self._pairs: OrderedDict[AttemptSubject, Failures] = OrderedDict()
        self._networks = RecentNetworks(monotonic)
        self.refusing_until = 0.0
        """When no attempt is refused any more, or 0 if none is."""
        self._pace = Pace(monotonic, at_once=LOGGED_AT_ONCE, a_second=LOGGED_A_SECOND)
        self._hash_key = os.urandom(32)

    def is_refusing(self) -> bool:
        """Return whether any attempt would be refused now. It takes less than `require_none`."""
        if self._monotonic() < self.refusing_until:
            return True
        self.refusing_until = 0.0
        return False

    def require_none(self, subject: AttemptSubject) -> None:
        """Raise TooManyAttempts if `subject` failed less than a second ago."""
        failures = self._pairs.get(subject)
        if failures is not None and self.is_refused(failures):
            failures.refused += 1
            raise TooManyAttempts("Too many attempts; wait a second.")

    def record(self, subject: AttemptSubject, *, is_user: bool = False) -> None:
        """Record and log that `subject` failed, and refuse it for the next second.

        Its name is shown only if a user has this name, or if it is UNLOCK.
        """
        now = self._monotonic()
        self._forget_old(now)
        failures = self._pairs.pop(subject, None) or Failures(subject.address, "", now, now)
        failures.address = subject.address
        # Also computed for existing users, so that both take the same time.
        pseudonym = self._pseudonym(subject.user)
        failures.user = subject.user if is_user or subject.user == UNLOCK else pseudonym
        failures.failed += 1
        failures.last = now
        self._pairs[subject] = failures
        self._networks.add(subject.network)
        if len(self._pairs) > REMEMBERED_PAIRS:
            self._pairs.popitem(last=False)
        self.refusing_until = now + REFUSAL_SECONDS
        self._write(failures)

    def recent(self) -> list[Failures]:
        """Return the failures of the last REMEMBERED_SECONDS, the latest first."""
        self._forget_old(self._monotonic())
        return [replace(failures) for failures in reversed(self._pairs.values())]

    def any_from(self, network: str) -> bool:
        """Whether any attempt from this network failed in the last REMEMBERED_SECONDS."""
        return network in self._networks

    def is_refused(self, failures: Failures) -> bool:
        """Whether the next attempt of this network and user would be refused now."""
        return self._monotonic() < failures.last + REFUSAL_SECONDS

    def _pseudonym(self, name: str) -> str:
        """Return what stands for a name. It stays the same until the server restarts."""
        data = name.encode("utf-8", "surrogatepass")
        return UNKNOWN + hashlib.blake2b(data, key=self._hash_key, digest_size=4).hexdigest()

    def _forget_old(self, now: float) -> None:
        while self._pairs:
            oldest = next(iter(self._pairs))
            if now < self._pairs[oldest].last + REMEMBERED_SECONDS:
                return
            del self._pairs[oldest]

    def _write(self, failures: Failures) -> None:
        if (unlogged := self._pace.step()) is None:
            return
        self._log.warning(
            "authentication failed",
            user=failures.user,
            address=failures.address,
            failed=failures.failed,
            refused=failures.refused,
            unlogged=unlogged,
        )
