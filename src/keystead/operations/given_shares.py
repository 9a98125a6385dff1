"""The unlock shares that were given to a Locked HSM, until there are enough of them."""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from keystead.errors import WrongState
from keystead.model.secret import Secret
from keystead.sealing.unlock_shares import UnlockShare, combine

KEPT_SECONDS: Final = 10 * 60.0
"""How long a share that was given counts."""


class Progress(NamedTuple):
    """How many shares were given, and how many are needed."""

    have: int
    need: int

    @property
    def is_enough(self) -> bool:
        """Whether the shares unlock."""
        return self.have >= self.need


class _Given(msgspec.Struct, frozen=True):
    share: UnlockShare
    network: str
    until: float


class GivenShares:
    """Shares of the present set only, so there are never more than the set has."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._given: dict[int, _Given] = {}

    def add(self, share: UnlockShare, *, network: str, need: int) -> Progress:
        """Keep a share of the present set for ten minutes."""
        self.forget_old()
        self._drop(share.number)
        self._given[share.number] = _Given(share, network, self._monotonic() + KEPT_SECONDS)
        return Progress(len(self._given), need)

    def passphrase(self, need: int) -> Secret:
        """Return what the shares give. Raises WrongState if they are not enough any more."""
        self.forget_old()
        if len(self._given) < need:
            raise WrongState("Shares were forgotten meanwhile: give them again.")
        return combine([one.share for one in self._given.values()][:need])

    def forget_old(self) -> None:
        """Wipe the shares that were given ten minutes ago."""
        now = self._monotonic()
        for number in [number for number, one in self._given.items() if now >= one.until]:
            self._drop(number)

    def forget_from(self, network: str) -> None:
        """Wipe the shares that came from a network, because a wrong one came from there.

        Those from elsewhere stay: otherwise anyone could keep the owners from unlocking.
        """
        for number in [number for number, one in self._given.items() if one.network == network]:
            self._drop(number)

    def forget(self) -> None:
        """Wipe all shares."""
        for number in [*self._given]:
            self._drop(number)

    def _drop(self, number: int) -> None:
        given = self._given.pop(number, None)
        if given is not None:
            given.share.value.wipe()
