"""Shares of the unlock passphrase: how they are made, written down, checked and combined.

The passphrase of an HSM with shares is 128 random bits in base32, which nobody sees. A share is
written as `K7QD-03-` and eight groups: the name of its set, its number, and in base32 its 16 bytes
and a checksum of 4 bytes.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from keystead.errors import NotPermitted
from keystead.model.secret import Secret
from keystead.sealing.secret_sharing import interpolate, split

MIN_THRESHOLD: Final = 2
MAX_SHARES: Final = 16
SECRET_BYTES: Final = 16
_CHECKSUM_BYTES: Final = 4
_SET_LETTERS: Final = 4
_SET_BYTES: Final = 5
_GROUP: Final = 4
_DIGEST_BYTES: Final = 32
_MAX_TEXT: Final = 200
_SEPARATORS: Final = re.compile(r"[\s-]+")
_SHARE: Final = re.compile(r"([A-Z2-7]{4})(0[1-9]|1[0-6])([A-Z2-7]{32})")
_LOOKALIKES: Final = str.maketrans("018", "OIB")
"""Digits that base32 does not have, and the letters that were meant."""
_NUMBER: Final = slice(_SET_LETTERS, _SET_LETTERS + 2)

_MISTYPED: Final = "The share is mistyped: its checksum does not fit."
_FOREIGN: Final = "The share is none of the present set of this HSM."


class WantedShares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many shares there are to be, and how many of them unlock."""

    threshold: Annotated[int, msgspec.Meta(ge=MIN_THRESHOLD, le=MAX_SHARES)]
    shares: Annotated[int, msgspec.Meta(ge=MIN_THRESHOLD, le=MAX_SHARES)]

    def __post_init__(self) -> None:
        """Raise ValueError if fewer shares are made than are needed."""
        if self.threshold > self.shares:
            raise ValueError("the threshold is greater than the number of shares")


@dataclass(frozen=True, slots=True, eq=False)
class UnlockShare:
    """One share."""

    set_name: str
    number: int
    value: Secret = field(repr=False)

    def text(self) -> str:
        """Return the share as it is written down."""
        content = self.value.reveal() + self._digest()[:_CHECKSUM_BYTES]
        letters = base64.b32encode(content).decode()
        groups = [letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP)]
        return "-".join((self.set_name, f"{self.number:02}", *groups))

    @classmethod
    def parse(cls, text: str) -> "UnlockShare":
        """Return the share that `text` is. Spaces, hyphens and case do not matter.

        Raises NotPermitted if the checksum does not fit.
        """
        letters = _SEPARATORS.sub("", text[:_MAX_TEXT]).upper()
        number = letters[_NUMBER]
        plain = letters.translate(_LOOKALIKES)
        match = _SHARE.fullmatch(plain[: _NUMBER.start] + number + plain[_NUMBER.stop :])
        if match is None:
            raise NotPermitted(_MISTYPED)
        content = base64.b32decode(match[3])
        share = cls(match[1], int(match[2]), Secret(content[:SECRET_BYTES]))
        checksum = share._digest()[:_CHECKSUM_BYTES]
        if not hmac.compare_digest(checksum, content[SECRET_BYTES:]):
            raise NotPermitted(_MISTYPED)
        return share

    def commitment(self) -> bytes:
        """Return what the HSM keeps to know the share again: a hash of its 128 random bits."""
        return hashlib.sha256(b"commitment" + self._digest() + self.value.reveal()).digest()

    def _digest(self) -> bytes:
        head = f"keystead unlock share {self.set_name} {self.number} ".encode()
        return hashlib.sha256(head + self.value.reveal()).digest()


class ShareSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What an HSM keeps of a set of shares. It gives no share away."""

    set_name: str
    threshold: Annotated[int, msgspec.Meta(ge=MIN_THRESHOLD, le=MAX_SHARES)]
    commitments: Annotated[list[bytes], msgspec.Meta(max_length=MAX_SHARES)]
    """Of the shares 1, 2 and so on."""

    def require_member(self, share: UnlockShare) -> None:
        """Raise NotPermitted unless the share is one of this set."""
        is_known = share.set_name == self.set_name and share.number <= len(self.commitments)
        kept = self.commitments[share.number - 1] if is_known else bytes(_DIGEST_BYTES)
        if not hmac.compare_digest(share.commitment(), kept):
            raise NotPermitted(_FOREIGN)

    def passphrase_of(self, texts: Iterable[str]) -> Secret:
        """Return the passphrase that shares give.

        Raises NotPermitted if one is wrong or there are not enough.
        """
        shares: dict[int, UnlockShare] = {}
        try:
            for text in texts:
                share = UnlockShare.parse(text)
                shares[share.number] = share
                self.require_member(share)
            if len(shares) < self.threshold:
                raise NotPermitted(f"This takes {self.threshold} shares, not {len(shares)}.")
            return combine([*shares.values()])
        finally:
            for share in shares.values():
                share.value.wipe()


@dataclass(frozen=True, slots=True)
class MadeShares:
    """A new set of shares, and the passphrase that its shares give."""

    passphrase: Secret
    texts: list[str] = field(repr=False)
    share_set: ShareSet


def make_shares(wanted: WantedShares) -> MadeShares:
    """Return a new passphrase, and shares of it with another name than any set before."""
    name = base64.b32encode(os.urandom(_SET_BYTES)).decode()[:_SET_LETTERS]
    secret = Secret(os.urandom(SECRET_BYTES))
    values = split(secret.reveal(), threshold=wanted.threshold, shares=wanted.shares)
    shares = [UnlockShare(name, number, Secret(value)) for number, value in values.items()]
    commitments = [share.commitment() for share in shares]
    made = MadeShares(
        _passphrase(secret),
        [share.text() for share in shares],
        ShareSet(name, wanted.threshold, commitments),
    )
    for one in (secret, *(share.value for share in shares)):
        one.wipe()
    return made


def combine(shares: Sequence[UnlockShare]) -> Secret:
    """Return the passphrase that shares of one set give, if they are enough."""
    secret = Secret(interpolate({share.number: share.value.reveal() for share in shares}))
    passphrase = _passphrase(secret)
    secret.wipe()
    return passphrase


def _passphrase(secret: Secret) -> Secret:
    return Secret(base64.b32encode(secret.reveal()).rstrip(b"="))
