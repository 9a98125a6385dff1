"""Credentials that were verified: the ones used last, up to a number and a size."""

from collections import OrderedDict
from typing import Final

from keystead.model.ids import UserId
from keystead.model.users import Caller

VERIFIED_LIMIT: Final = 10_000
"""Credentials remembered; the least recently used one is forgotten beyond that."""
BYTES_A_CREDENTIAL: Final = 4 * 1024
"""The memory for each on average, or so many tags would fill the core: a user has up to 1,000."""
_CALLER_BYTES: Final = 512
_TAG_BYTES: Final = 64
"""What Python adds to the characters of a tag."""


def _weight(caller: Caller) -> int:
    """Return about how many bytes of memory a caller takes, with the tags of its user."""
    return _CALLER_BYTES + sum(len(tag) + _TAG_BYTES for tag in caller.tags)


class VerifiedCredentials:
    """Callers, by a digest of the credentials that prove them."""

    def __init__(
        self, *, most: int = VERIFIED_LIMIT, most_bytes: int = VERIFIED_LIMIT * BYTES_A_CREDENTIAL
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        self._weights: dict[bytes, int] = {}
        self._bytes = 0
        self.get: Final = self._callers.get
        """Returns whom the credentials of a digest prove, None for what is not known."""
        self.used: Final = self._callers.move_to_end
        """Counts the credentials of a digest, which are known, as used last."""

    def add(self, digest: bytes, caller: Caller) -> None:
        """Remember a caller, and forget others for it."""
        self._forget(digest)
        self._callers[digest] = caller
        self._weigh(digest, caller)
        self._make_room()

    def reweigh(self, user_id: UserId) -> None:
        """Count the tags that a user has now, and forget others for them."""
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
