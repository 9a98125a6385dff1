"""A cache of verified credentials: the most recently used, up to a number and a size."""

from collections import OrderedDict
from typing import Final

from keystead.model.ids import UserId
from keystead.model.users import Caller

VERIFIED_LIMIT: Final = 10_000
"""The most credentials in the cache. The least recently used one makes room for another."""
BYTES_A_CREDENTIAL: Final = 4 * 1024
"""The average memory for each entry. Up to 1,000 tags for each user could fill the core."""
_CALLER_BYTES: Final = 512
_TAG_BYTES: Final = 64
"""The memory that Python needs for a tag besides its characters."""


def _weight(caller: Caller) -> int:
    """Return about how many bytes of memory a caller and its tags take."""
    return _CALLER_BYTES + sum(len(tag) + _TAG_BYTES for tag in caller.tags)


class VerifiedCredentials:
    """A cache of callers, by a digest of their credentials."""

    def __init__(
        self, *, most: int = VERIFIED_LIMIT, most_bytes: int = VERIFIED_LIMIT * BYTES_A_CREDENTIAL
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        self._weights: dict[bytes, int] = {}
        self._bytes = 0
        self.get: Final = self._callers.get
        """Returns the caller for a digest, or None if it is not in the cache."""
        self.used: Final = self._callers.move_to_end
        """Marks a digest in the cache as the most recently used."""

    def add(self, digest: bytes, caller: Caller) -> None:
        """Add a caller, and remove others to make room."""
        self._forget(digest)
        self._callers[digest] = caller
        self._weigh(digest, caller)
        self._make_room()

    def reweigh(self, user_id: UserId) -> None:
        """Count the memory of the tags that a user has now, and make room if needed."""
        for digest in self._of(user_id):
            self._weigh(digest, self._callers[digest])
        self._make_room()

    def forget(self, user_id: UserId) -> None:
        """Forget the credentials of a user."""
        for digest in self._of(user_id):
            self._forget(digest)

    def clear(self) -> None:
        """Forget everything."""
        self._callers.clear()
        self._weights.clear()
        self._bytes = 0

    def _of(self, user_id: UserId) -> list[bytes]:
        return [digest for digest, caller in self._callers.items() if caller.user_id == user_id]

    def _weigh(self, digest: bytes, caller: Caller) -> None:
        weight = _weight(caller)
        self._bytes += weight - self._weights.get(digest, 0)
        self._weights[digest] = weight

    def _make_room(self) -> None:
        while len(self._callers) > self._most or self._bytes > self._most_bytes:
            self._forget(next(iter(self._callers)))

    def _forget(self, digest: bytes) -> None:
        if self._callers.pop(digest, None) is not None:
            self._bytes -= self._weights.pop(digest)
