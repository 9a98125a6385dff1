"""A request's body that did not come whole with its head, on its way through the edge."""

from dataclasses import dataclass, field

from keystead.edge.core_link import CoreLink
from keystead.edge.limits import (
    BODY_WINDOW_BYTES,
    LONG_BODY_BYTES,
    MAX_DRAIN_BYTES,
    MIN_BODY_BYTES_PER_SECOND,
    MIN_LONG_BODY_BYTES_PER_SECOND,
)
from keystead.edge.request_body import RequestBody
from keystead.edge.request_head import RequestHead
from keystead.wire.edge_messages import BodyChunk


@dataclass(slots=True)
class Upload:
    """The part of a body that has arrived, and how much of it the core has asked for."""

    head: RequestHead
    body: RequestBody
    owes_continue: bool
    """The client waits for 100 Continue before it sends the body."""
    waiting: bytearray = field(default_factory=bytearray, repr=False)
    """The bytes that have arrived and were not sent to the core yet."""
    credit: int = 0
    """The number of bytes that the core has asked for."""
    is_announced: bool = False
    """Whether the core has the request's head."""
    dropped: int = 0
    _arrived: int = 0

    def take(self, data: bytes) -> float:
        """Take bytes of the client. Return the seconds they earn it.

        Raises RequestRefused if the body is malformed.
        """
        self.waiting += self.body.feed(data)
        if data:
            self.owes_continue = False
        is_long = self._arrived >= LONG_BODY_BYTES
        self._arrived += len(data)
        rate = MIN_LONG_BODY_BYTES_PER_SECOND if is_long else MIN_BODY_BYTES_PER_SECOND
        return len(data) / rate

    def send(self, link: CoreLink, request_id: int) -> bool:
        """Send as much as the core gave credit for. Return whether the body is complete."""
        while self.waiting and self.credit and link.is_writable:
            part = bytes(self.waiting[: min(self.credit, BODY_WINDOW_BYTES)])
            del self.waiting[: len(part)]
            self.credit -= len(part)
            is_last = self.body.is_complete and not self.waiting
            link.send(BodyChunk(request_id, part, is_last))
            if is_last:
                return True
        if self.waiting or not self.body.is_complete:
            return False
        link.send(BodyChunk(request_id, b"", last=True))
        return True

    @property
    def has_enough(self) -> bool:
        """Whether nothing more should be read from the client for now."""
        return self.body.is_complete or len(self.waiting) >= BODY_WINDOW_BYTES

    @property
    def can_be_dropped(self) -> bool:
        """Whether reading and dropping the rest of the body is cheaper than a new connection.

        False if the client waits for 100 Continue: after a response it may or may not send the
        body.
        """
        unwanted = len(self.waiting) + (self.body.left() or 0)
        return not self.owes_continue and unwanted <= MAX_DRAIN_BYTES

    def drop(self, data: bytes) -> bool:
        """Drop more of an unread body. Return whether to go on.

        Raises RequestRefused if the body is malformed.
        """
        self.dropped += len(data)
        self.body.feed(data)
        return self.dropped <= MAX_DRAIN_BYTES
