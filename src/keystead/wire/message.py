"""A message between two processes: one msgpack message in a frame, with checked fields.

Each pair of processes has its own closed set of messages. Any other frame ends the connection.
"""

import msgspec


class Message(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A message or a part of one. It never shows its fields, because many are secret."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
