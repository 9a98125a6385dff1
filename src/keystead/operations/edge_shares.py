"""Each edge's share of what is slow: one that was taken over must not keep the others waiting.

A client's address is only what an edge says it is, so what is shared by address is not enough.
"""

from collections import Counter, OrderedDict, deque
from contextvars import ContextVar
from queue import SimpleQueue
from threading import Lock
from typing import Final, Generic, TypeVar

EDGE: Final = ContextVar[object]("edge", default=None)
"""The edge that the request being worked on came by; None: it came by none."""

Item = TypeVar("Item")


class Places:
    """A number of places, of which one edge cannot take all."""

    def __init__(self, limit: int, *, of_one_edge: int) -> None:
        """`limit` is how many may be taken together, `of_one_edge` how many by one of them."""
        self._limit = limit
        self._limit_of_one = of_one_edge
        self._taken: Counter[object] = Counter()

    @property
    def are_free(self) -> bool:
        """Whether the edge of this request can take one more."""
        edge = EDGE.get()
        most = self._limit if edge is None else self._limit_of_one
        return self._taken.total() < self._limit and self._taken[edge] < most

    def take(self) -> object:
        """Take one; return whom to give it back for."""
        edge = EDGE.get()
        self._taken[edge] += 1
        return edge

    def give_back(self, edge: object) -> None:
        """Give back one that `take` gave."""
        self._taken[edge] -= 1
        if not self._taken[edge]:
            del self._taken[edge]


class TurnQueue(Generic[Item]):
    """A queue between threads: the edges that have something in it take turns."""

    def __init__(self) -> None:
        self._lines: OrderedDict[object, deque[Item]] = OrderedDict()
        self._lock = Lock()
        self._count = SimpleQueue[bool]()
        """As many as there are in the lines; False for the end."""

    def put(self, item: Item) -> None:
        """Append an item to the line of this request's edge."""
        with self._lock:
            self._lines.setdefault(EDGE.get(), deque()).append(item)
        self._count.put(True)

    def get(self) -> Item | None:
        """Wait for the next item and take it out; None at an end."""
        if not self._count.get():
            return None
        with self._lock:
            edge, line = self._lines.popitem(last=False)
            item = line.popleft()
            if line:
                self._lines[edge] = line
        return item

    def is_empty(self) -> bool:
        """Whether nothing waits at this moment."""
        return self._count.empty()

    def end(self, readers: int) -> None:
        """Drop what waits, and give so many readers an end each."""
        while not self._count.empty():
            self._count.get()
        for _ in range(readers):
            self._count.put(False)
