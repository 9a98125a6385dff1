"""Fair queues for slow work: which request is served next, and which is refused.

A party has a name at three levels: the edge that forwards its requests, the namespace, and the
user. For a client that is not authenticated yet, the network takes the place of the namespace. At
each level, the parties with waiting work take turns. When a queue is full, new work replaces the
newest work of the party that has most in the queue. If the new work's own party has most, the new
work is refused. So one client, namespace, network or captured edge can fill a queue, but it cannot
keep the others out.
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
"""The edge that forwarded the present request. None for other work."""

Item = TypeVar("Item")


class Party(NamedTuple):
    """The owner of a piece of work, within the share of an edge."""

    group: Hashable
    """A namespace, or the network of a client that is not authenticated."""
    member: Hashable = None
    comes_first: bool = False
    """Whether its newest work is served before that of the other members of its group. In a full
    queue, it replaces the work of the member that would be served last."""

    def names(self) -> tuple[Hashable, ...]:
        """Return the names of the party at each level, from the edge of this request down."""
        return EDGE.get(), self.group, self.member


HSM: Final = Party("")
"""Owns work that belongs to no user, or that only one request at a time can ask for."""


def of_user(user_id: UserId) -> Party:
    """Return the party of a user."""
    return Party(user_id.namespace, user_id)


def of_network(network: str) -> Party:
    """Return the party of clients in this network that log in."""
    return Party(("network", network))


class _Line(Generic[Item]):
    """The waiting work of one party, or the lines of the parties that it consists of."""

    __slots__ = ("items", "parts", "size")

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.parts: OrderedDict[Hashable, _Line[Item]] = OrderedDict()
        """The lines of the next level by name. The first one has the next turn."""
        self.size = 0

    def largest(self) -> Hashable:
        """Return the name of the part that has most waiting work."""
        return max(self.parts, key=lambda name: self.parts[name].size)


class Lines(Generic[Item]):
    """All waiting work, in the order of turns. Use it from one thread only."""

    def __init__(self) -> None:
        self._all = _Line[Item]()

    def __len__(self) -> int:
        return self._all.size

    def append(self, item: Item, party: Party) -> None:
        """Append an item to the line of `party`, below the edge of the present request."""
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
        """Whether work waits in the line with these names, from the edge down."""
        line = self._all
        for name in names:
            part = line.parts.get(name)
            if part is None:
                return False
            line = part
        return True

    def pop(self) -> Item:
        """Remove and return the item whose turn it is. There must be one."""
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
        """Remove and return the newest item of the party that has most items.

        Raises Overloaded if no party has more items than `party` would have with one more. A party
        that comes first in its group can still replace another member's item.
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
        """Return the names, from the edge down, of the line that loses an item to `party`."""
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
    """A thread-safe queue with one line for each party."""

    def __init__(self) -> None:
        self._lines = Lines[Item]()
        self._lock = Lock()
        self._count = SimpleQueue[bool]()
        """One True for each item in the lines, and a False for each reader that has to end."""

    def put(self, item: Item, party: Party) -> None:
        """Append an item to the line of a party."""
        with self._lock:
            self._lines.append(item, party)
        self._count.put(True)

    def put_instead(self, item: Item, party: Party) -> Item:
        """Replace the newest item of the party that has most items, and return the replaced item.

        Raises Overloaded as `Lines.make_room` does.
        """
        with self._lock:
            removed = self._lines.make_room(party)
            self._lines.append(item, party)
        return removed

    def require_room(self, party: Party) -> None:
        """Raise Overloaded if `put_instead` would raise it for this party."""
        with self._lock:
            self._lines.require_room(party)

    def get(self) -> Item | None:
        """Wait for the next item, and remove and return it. Return None at an end."""
        if not self._count.get():
            return None
        with self._lock:
            return self._lines.pop()

    def has_any_of(self, names: Sequence[Hashable]) -> bool:
        """Whether work waits in the line with these names, from the edge down."""
        with self._lock:
            return self._lines.has_any_of(names)

    def is_empty(self) -> bool:
        """Whether nothing waits at this moment."""
        return self._count.empty()

    def end(self, readers: int) -> None:
        """Drop all items, and let `readers` calls of `get` return None."""
        while not self._count.empty():
            self._count.get()
        for _ in range(readers):
            self._count.put(False)


class Turns:
    """Lets tasks run one at a time. Their parties take turns."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many tasks may run or wait at a time."""
        self._most_waiting = limit - 1
        self._waiting = Lines[asyncio.Future[None]]()
        self._is_taken = False

    @asynccontextmanager
    async def turn(self, party: Party) -> AsyncIterator[None]:
        """Wait for a turn and keep it until the end of the block.

        Raises Overloaded if too many tasks wait, either at once or while this one waits.
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
            if not turn.cancelled() and turn.exception() is None:  # Its turn had come already.
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
        turn.set_exception(
            Overloaded("The request was dropped to make room for other users; try again.")
        )
