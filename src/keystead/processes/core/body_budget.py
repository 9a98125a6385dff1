"""The memory for long bodies, which is shared by the rule of `operations.shares`."""

from collections import Counter
from collections.abc import Hashable
from itertools import chain
from typing import Final, Protocol

from keystead.errors import Overloaded
from keystead.operations.shares import Party

MAX_BODIES_OF_ONE: Final = 256
"""The most bodies of one namespace or network that may arrive at a time in one budget."""

TOO_MANY: Final = "Too many large requests at once; try again in a moment."

_Names = tuple[Hashable, ...]
"""The first names of a party: those of a namespace or network, or of one of its members too."""


class LongBody(Protocol):
    """A body that takes memory, and can be refused while it arrives, or cut while it is sent."""

    party: Party
    """The holder that the memory of the body is counted for."""
    taken_bytes: int

    def refuse(self) -> None:
        """Release the memory at once, and tell the budget by its `end` or `release`."""
        ...


class BodyBudget:
    """The memory that running bodies may take together: all bodies, or those of one edge.

    It is shared by the rule of `operations.shares`. When it is full, the namespace or network with
    most of it makes room for the others, and within a namespace the user with most of it.
    """

    def __init__(self, limit_bytes: int, *, part_of: "BodyBudget | None" = None) -> None:
        """Memory that is taken also counts in the budget `part_of`."""
        self._free = limit_bytes
        self._whole = part_of
        self._held: Counter[_Names] = Counter()
        """Bytes, of each namespace or network, and of each of its members."""
        self._arriving: dict[LongBody, None] = {}
        self._sent: dict[LongBody, None] = {}
        """The answers that clients take at their own speed."""
        self._number_of: Counter[_Names] = Counter()

    def take(self, size: int, party: Party) -> None:
        """Reserve `size` bytes. Raises Overloaded at once if they are not available."""
        while size > self._free and self._end_one_for(party, size):
            pass
        if size > self._free:
            raise Overloaded(TOO_MANY)
        if self._whole is not None:
            self._whole.take(size, party)
        self._free -= size
        _count(self._held, party, size)

    def give_back(self, size: int, party: Party) -> None:
        """Free `size` bytes that were taken."""
        self._free += size
        _count(self._held, party, -size)
        if self._whole is not None:
            self._whole.give_back(size, party)

    def begin(self, body: LongBody) -> None:
        """Add a body that begins to arrive.

        Raises Overloaded if its namespace or network has too many. If another user there has more
        than this one, a body of that user is refused instead.
        """
        group = body.party[:1]
        if self._number_of[group] >= MAX_BODIES_OF_ONE:
            self._end_one_of(group, body.party)
        if self._whole is not None:
            self._whole.begin(body)
        _count(self._number_of, body.party, 1)
        self._arriving[body] = None

    def end(self, body: LongBody) -> None:
        """Remove a body that has arrived or was given up."""
        if body not in self._arriving:
            return
        del self._arriving[body]
        _count(self._number_of, body.party, -1)
        if self._whole is not None:
            self._whole.end(body)

    def hold(self, body: LongBody) -> None:
        """Add a body that is sent, whose memory was taken. It makes room as others do."""
        self._sent[body] = None
        if self._whole is not None:
            self._whole.hold(body)

    def release(self, body: LongBody) -> None:
        """Remove a body that was sent or was given up."""
        self._sent.pop(body, None)
        if self._whole is not None:
            self._whole.release(body)

    def _end_one_for(self, party: Party, size: int) -> bool:
        """Refuse the longest body of the holder with most memory, if `party` has less.

        It is looked for among all namespaces and networks, then among the users of the party's own.
        """
        for level in (1, 2):
            own = party[:level]
            longest = max(
                (
                    body
                    for body in chain(self._arriving, self._sent)
                    if body.party[: level - 1] == own[:-1]
                ),
                key=lambda body: (*self._held_by(body.party), body.taken_bytes),
                default=None,
            )
            if longest and self._held[longest.party[:level]] > self._held[own] + size:
                longest.refuse()
                return True
        return False

    def _held_by(self, party: Party) -> tuple[int, int]:
        return self._held[party[:1]], self._held[party[:2]]

    def _end_one_of(self, group: _Names, party: Party) -> None:
        arriving = (body for body in self._arriving if body.party[:1] == group)
        most = max(arriving, key=lambda body: self._number_of[body.party[:2]])
        if self._number_of[most.party[:2]] <= self._number_of[party[:2]] + 1:
            raise Overloaded(TOO_MANY)
        most.refuse()


def _count(counter: Counter[_Names], party: Party, more: int) -> None:
    """Count for the party and its group. Remove entries that are zero."""
    for names in (party[:1], party[:2]):
        counter[names] += more
        if not counter[names]:
            del counter[names]
