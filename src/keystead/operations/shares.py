"""Who is served, and who is refused, where slow work queues up: one rule for all such queues.

A party is named from the widest to the narrowest: the edge that its requests come by, then the
namespace and the user, or for those who are not authenticated yet the network. At each level those
with something waiting take turns. When a queue is full, a newcomer takes the place of the party
that has most in it, unless that is the newcomer itself. So one client, one namespace, one network
or one edge that was taken over can fill a queue, but not keep the others out of it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from queue import SimpleQueue
from threading import Lock
from typing import Final, Generic, NamedTuple, TypeVar

from keystead.errors import Overloaded
from keystead.model.ids import UserId

EDGE: Final = ContextVar[object]("edge", default=None)
"""The edge that the request being worked on came by; None: it came by none."""

Item = TypeVar("Item")


class Party(NamedTuple):
    """Whose share something takes, within the share of the edge."""

    group: Hashable
    """A namespace, or where nobody is authenticated a network."""
    member: Hashable = None
    comes_first: bool = False
    """Its newest work is served before that of its group's other members, and when the queue is
    full takes the place of the one of them that would be served last."""

    def names(self) -> tuple[Hashable, ...]:
        """Return the names of its lines, from the edge of this request down."""
        return EDGE.get(), self.group, self.member


HSM: Final = Party("")
"""For work that is no user's, or that only one request at a time can ask for."""


def of_user(user_id: UserId) -> Party:
    """Return whose share the work of a user takes."""
    return Party(user_id.namespace, user_id)


def of_network(network: str) -> Party:
    """Return whose share the login of somebody in this network takes."""
    return Party(("network", network))


class _Line(Generic[Item]):
    """What waits for one party, or the lines of those that it consists of."""

    __slots__ = ("items", "parts", "size")

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.parts: OrderedDict[Hashable, _Line[Item]] = OrderedDict()
        """By name; the one whose turn is next comes first."""
        self.size = 0

    def largest(self) -> Hashable:
        """Return the name of the part with most in it."""
        return max(self.parts, key=lambda name: self.parts[name].size)


class Lines(Generic[Item]):
    """What waits, in the order of turns. Not for more than one thread."""

    def __init__(self) -> None:
        self._all = _Line[Item]()

    def __len__(self) -> int:
        return self._all.size

    def append(self, item: Item, party: Party) -> None:
        """Append an item to the line of a party, which came by the edge of this request."""
        line = self._all
        line.size += 1
        group = line
        for name in party.names():
            part = line.parts.get(name)
            if part is None:
                part = line.parts[name] = _Line()
            group, line = line, part
            line.size += 1
        line.items.append(item)
        if party.comes_first:
            group.parts.move_to_end(party.member, last=False)

    def has_any_of(self, names: Sequence[Hashable]) -> bool:
        """Whether something waits in the line of these names, from the edge down."""
        line = self._all
        for name in names:
            part = line.parts.get(name)
            if part is None:
                return False
            line = part
        return True

    def pop(self) -> Item:
        """Take out the item whose turn it is; there must be one."""
        line = self._all
        line.size -= 1
        while line.parts:
            name, part = line.parts.popitem(last=False)
            part.size -= 1
            if part.size:
                line.parts[name] = part
            line = part
        return line.items.popleft()

    def require_room(self, party: Party) -> None:
        """Raise Overloaded unless `make_room` would make room for this party."""
        self._largest_for(party)

    def make_room(self, party: Party) -> Item:
        """Take out and return the newest item of the party that has most.

        Raises Overloaded if nobody has more than `party` would have with one more, and `party` does
        not come first in its group.
        """
        names = self._largest_for(party)
        line = self._all
        line.size -= 1
        for name in names:
            part = line.parts[name]
            part.size -= 1
            if not part.size:
                del line.parts[name]
            line = part
        return line.items.pop()

    def _largest_for(self, party: Party) -> list[Hashable]:
        """Return the names of the line, from the edge down, that has to make room for `party`."""
        names: list[Hashable] = []
        line = self._all
        for name in party.names():
            if not line.parts:
                break
            own = line.parts.get(name)
            most = line.largest()
            if line.parts[most].size > (own.size if own else 0) + 1:
                return names + _names_of_largest(line)
            if own is None:
                break
            names.append(name)
            line = own
        if party.comes_first and len(names) == len(party.names()) - 1:
            return [*names, next(reversed(line.parts))]
        raise Overloaded("Too much slow work is waiting; try again in a moment.")


def _names_of_largest(line: _Line[Item]) -> list[Hashable]:
    names = []
    while line.parts:
        name = line.largest()
        names.append(name)
        line = line.parts[name]
    return names


class TurnQueue(Generic[Item]):
    """Lines between threads."""

    def __init__(self) -> None:
        self._lines = Lines[Item]()
        self._lock = Lock()
        self._count = SimpleQueue[bool]()
        """As many as there are in the lines; False for the end."""

    def put(self, item: Item, party: Party) -> None:
        """Append an item to the line of a party."""
        with self._lock:
            self._lines.append(item, party)
        self._count.put(True)

    def put_instead(self, item: Item, party: Party) -> Item:
        """Put an item in the place of the party that has most; return what was there.

        Raises Overloaded if nobody has more than `party`.
        """
        with self._lock:
            removed = self._lines.make_room(party)
            self._lines.append(item, party)
        return removed

    def require_room(self, party: Party) -> None:
        """Raise Overloaded unless `put_instead` would take something of this party."""
        with self._lock:
            self._lines.require_room(party)

    def get(self) -> Item | None:
        """Wait for the next item and take it out; None at an end."""
        if not self._count.get():
            return None
        with self._lock:
            return self._lines.pop()

    def has_any_of(self, names: Sequence[Hashable]) -> bool:
        """Whether something waits in the line of these names, from the edge down."""
        with self._lock:
            return self._lines.has_any_of(names)

    def is_empty(self) -> bool:
        """Whether nothing waits at this moment."""
        return self._count.empty()

    def end(self, readers: int) -> None:
        """Drop what waits, and give so many readers an end each."""
        while not self._count.empty():
            self._count.get()
        for _ in range(readers):
            self._count.put(False)


class Turns:
    """Lets tasks through one at a time, by the turns of their parties."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many may be through or waiting together."""
        self._most_waiting = limit - 1
        self._waiting = Lines[asyncio.Future[None]]()
        self._is_taken = False

    @asynccontextmanager
    async def turn(self, party: Party) -> AsyncIterator[None]:
        """Wait for a turn and keep it until the end of the block.

        Raises Overloaded if too many wait, at once or while it waits.
        """
        if self._is_taken:
            await self._wait(party)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, party: Party) -> None:
        turn = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= self._most_waiting:
            _refuse(self._waiting.make_room(party))
        self._waiting.append(turn, party)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:  # It was its turn already.
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False


def _refuse(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(Overloaded("This had to make room for others; try again."))
