"""What the connections of an edge share, and what the edge knows of each of them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keystead.edge.core_link import CoreLink
from keystead.edge.limits import MAX_SLOW_READERS, Timeouts
from keystead.edge.pages import Page
from keystead.wire.edge_messages import Refusal


class Watched(Protocol):
    """A connection, as the edge looks after it."""

    deadline: float
    """The time to call `timed_out`, on the clock `EdgeContext.now`."""

    waiting_since: float
    """The time when the connection was accepted or last answered, on the same clock."""

    @property
    def is_waiting(self) -> bool:
        """Whether the connection waits for its client, and the core has no request of it."""
        ...

    def make_room(self) -> None:
        """End the connection at once, to make room for another."""
        ...

    def timed_out(self) -> None:
        """End the connection, because the client was too slow."""
        ...

    def stop(self) -> None:
        """Close the connection if it is idle, and otherwise after the running response."""
        ...


@dataclass(slots=True)
class EdgeContext:
    """What all connections of an edge share."""

    link: CoreLink
    timeouts: Timeouts
    loop: asyncio.AbstractEventLoop
    now: Callable[[], float]
    on_closed: Callable[[], None]
    pages: Mapping[str, Page] = field(default_factory=dict)
    """What the edge answers itself, by path."""
    connections: dict[Watched, None] = field(default_factory=dict)
    """All that are not closed, also in their handshakes, in the order of their opening."""
    slow_readers: dict[Watched, None] = field(default_factory=dict)
    """Connections whose clients do not read their responses, the longest first."""
    is_stopping: bool = False
    refusals: Counter[Refusal] = field(default_factory=Counter)
    """The refusals that were not reported to the core yet."""

    def add_slow_reader(self, connection: Watched) -> None:
        """Note that a client does not read. If too many do not, end the connection of the first."""
        self.slow_readers[connection] = None
        if len(self.slow_readers) > MAX_SLOW_READERS:
            slowest = next(iter(self.slow_readers))
            del self.slow_readers[slowest]
            slowest.timed_out()

    def forget(self, connection: Watched) -> None:
        """Note that a connection has ended."""
        self.connections.pop(connection, None)
        self.slow_readers.pop(connection, None)
        self.on_closed()
