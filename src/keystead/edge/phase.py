"""Where a connection is in its exchange of request and response."""

from enum import Enum, auto


class Phase(Enum):
    """Where a connection is in its exchange of request and response."""

    HEAD = auto()
    """Waiting for a request, or for the rest of its head."""
    BODY = auto()
    """The request's body is on its way, to us or to the core."""
    ANSWERING = auto()
    """The core has the whole request."""
    STREAMING = auto()
    """A long answer is on its way to the client."""
    DRAINING = auto()
    """Answered before the body was complete; the rest of it is dropped."""
    CLOSING = auto()
    """The last answer is written; everything else is dropped."""
