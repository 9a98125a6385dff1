"""What the connections of an edge share, and what the edge knows of each of them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from keystead.edge.core_link import CoreLink
from keystead.edge.limits import Timeouts
from keystead.wire.messages import Refusal


class Watched(Protocol):
    """A connection, as the edge looks after it."""

    deadline: float
    """When `timed_out` is to be called, on the clock `EdgeContext.now`."""

    waiting_since: float
    """When it was accepted, or answered last, on the same clock."""

    @property
    def is_waiting(self) -> bool:
        """Whether it is the client's turn, and the core has no request of it."""
        ...

    def make_room(self) -> None:
        """End the connection at once, for another one to take its place."""
        ...

    def timed_out(self) -> None:
        """End the connection: the client was too slow."""
        ...

    def stop(self) -> None:
        """Close when idle; otherwise the answer under way is this connection's last."""
        ...


@dataclass(slots=True)
class EdgeContext:
    """What all connections of an edge share."""

    link: CoreLink
    timeouts: Timeouts
    now: Callable[[], float]
    on_opened: Callable[[Watched], None]
    on_closed: Callable[[], None]
    connections: set[Watched] = field(default_factory=set)
    slow_readers: dict[Watched, None] = field(default_factory=dict)
    """Connections whose clients do not take their answers, the longest such first."""
    is_stopping: bool = False
    refusals: Counter[Refusal] = field(default_factory=Counter)
    """What the core has not been told yet."""
