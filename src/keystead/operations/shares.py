"""Fair queues for slow work: which request is served next, and which is refused.

A party has a name at three levels: the edge that forwards its requests, the namespace, and the
user. For a client that is not authenticated yet, the network takes the place of the namespace. At
each level, the parties with waiting work take turns. A new party is next, but every second turn
belongs to those that have had one. So the request of a quiet tenant waits for work that has begun,
and for no more work of a tenant that fills the queue.

When a queue is full, new work replaces the newest work of the party that has most in the queue. If
the new work's own party has most, the new work is refused. So one client, namespace, network or
captured edge can fill a queue, but it cannot keep the others out.
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
    gets_spare: bool = True
    """Whether a spare thread may do its work, if the group has no other work in the pool."""

    def names(self) -> tuple[Hashable, ...]:
        """Return the names of the party at each level, from the edge of this request down."""
        return EDGE.get(), self.group, self.member


HSM: Final = Party("")
"""Owns work that belongs to no user, or that only one request at a time can ask for."""


def of_user(user_id: UserId) -> Party:
    """Return the party of a user."""
    return Party(user_id.namespace, user_id.name)


def of_network(network: str, *, gets_spare: bool = True) -> Party:
    """Return the party of clients in this network that log in."""
    return Party(("network", network), gets_spare=gets_spare)


class _Line(Generic[Item]):
    """The waiting work of one party, or the lines of the parties that it consists of."""

    __slots__ = ("is_for_new", "items", "new", "parts", "served", "size")

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.parts: dict[Hashable, _Line[Item]] = {}
        """The lines of the next level by name."""
        self.new = OrderedDict[Hashable, None]()
        """The parts that have had no turn yet. The first one is next of them."""
        self.served = OrderedDict[Hashable, None]()
        """The parts that have had a turn, the least recent one first. An empty part stays until it
        is the first: if it went at once, work that comes one by one would always be new."""
        self.is_for_new = True
        """Whether the next turn is for a new part, if both kinds wait."""
        self.size = 0

    def part(self, name: Hashable) -> "_Line[Item]":
        """Return the part of this name, or a new one.

        Turns count only as long as something waits: if nothing does, all parts are new again.
        """
        part = self.parts.get(name)
        if not self.size:
            for each in (self.parts, self.new, self.served):
                each.clear()
        if not self.size or part is None:
            part = self.parts[name] = part or _Line()
            self.new[name] = None
        return part

    def next_part(self) -> "_Line[Item]":
        """Return the part that has the turn, which it takes."""
        while self.served and not self.parts[name := next(iter(self.served))].size:
            self.remove(name)
        others_wait = bool(self.served)
        takes_new = bool(self.new) and (self.is_for_new or not others_wait)
        name, _ = (self.new if takes_new else self.served).popitem(last=False)
        self.served[name] = None
        self.is_for_new = not (takes_new and others_wait)
        return self.parts[name]

    def put_first(self, name: Hashable) -> None:
        """Let this part have the turn before all other new ones."""
        self.served.pop(name, None)
        self.new[name] = None
        self.new.move_to_end(name, last=False)

    def last(self) -> Hashable:
        """Return the name of the part that would have its turn last of the new ones, or of all."""
        order = (*reversed(self.new), *reversed(self.served))
        return next(name for name in order if self.parts[name].size)

    def remove(self, name: Hashable) -> None:
        """Forget an empty part."""
        del self.parts[name]
        self.new.pop(name, None)
        self.served.pop(name, None)

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
        line = group = self._all
        for name in party.names():
            group = line
            # Without a call for a part that has waiting work, as each of one busy user has.
            line = (group.size and group.parts.get(name)) or group.part(name)
            group.size += 1
        line.size += 1
        line.items.append(item)
        if party.comes_first:
            group.put_first(party.member)

    def has_any_of(self, names: Sequence[Hashable]) -> bool:
        """Whether work waits in the line with these names, from the edge down."""
        line = self._all
        for name in names:
            part = line.parts.get(name)
            if part is None:
                return False
            line = part
        return line.size > 0

    def pop(self) -> Item:
        """Remove and return the item whose turn it is. There must be one."""
        line = self._all
        line.size -= 1
        while line.parts:
            # A part without others has every turn. `next_part` would say so too, but slowly.
            if len(line.parts) == 1 and not line.new:
                line.is_for_new = True
                (line,) = line.parts.values()
            else:
                line = line.next_part()
            line.size -= 1
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
                line.remove(name)
            line = part
        return line.items.pop()

    def _largest_for(self, party: Party) -> list[Hashable]:
        """Return the names, from the edge down, of the line that loses an item to `party`."""
        names: list[Hashable] = []
        line = self._all
        for name in party.names():
            if not line.size:
                break
            own = line.parts.get(name)
            most = line.largest()
            if line.parts[most].size > (own.size if own else 0) + 1:
                return names + _names_of_largest(line)
            if own is None or not own.size:
                break
            names.append(name)
            line = own
        if party.comes_first and len(names) == len(party.names()) - 1:
            return [*names, line.last()]
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
