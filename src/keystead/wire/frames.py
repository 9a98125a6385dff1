"""Frames: a 4-byte big-endian length, then that many bytes of msgpack, one message each.

It is sans-I/O: bytes in, messages out. A frame that is too long, or does not hold an expected
message, raises BrokenFrame. That ends its connection, and no other.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, Generic, TypeVar

import msgspec

LENGTH_BYTES = 4

EDGE_FRAME_BYTES = 1024 * 1024 + 64 * 1024
"""The longest frame between edge and core: a body part of up to 1 MiB, and its envelope."""

STORE_FRAME_BYTES = 8 * 1024 * 1024
"""The longest frame between core and platform: a commit of several records. The largest record
holds a certificate of 1 MiB, each byte of which can take six in JSON."""

_LONG_BYTES: Final = 16 * 1024
"""The length from which on a frame is decoded where it is. A copy of a shorter one is faster."""

_encode = msgspec.msgpack.Encoder().encode
_read_length = Struct(">I").unpack_from

M = TypeVar("M")


UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The errors of decoding bytes that are not a message of the expected type."""


class BrokenFrame(Exception):
    """Raised if the other side broke the protocol. Its connection must be closed."""


class FrameTooLong(ValueError):
    """Raised if a message does not fit into a frame. Nothing was sent."""


def append_frame(buffer: bytearray, message: msgspec.Struct, *, max_bytes: int) -> None:
    """Append `message` as one frame. Raises FrameTooLong, and appends nothing, if it is."""
    payload = _encode(message)
    length = len(payload)
    if length > max_bytes:
        name = type(message).__name__
        raise FrameTooLong(f"{name} takes {length} bytes, the limit is {max_bytes}")
    buffer += length.to_bytes(LENGTH_BYTES, "big")
    buffer += payload


class FrameDecoder(Generic[M]):
    """Turns a stream of bytes, cut anywhere, into messages of type M."""

    def __init__(self, message_type: object, *, max_bytes: int) -> None:
        """`message_type` is M: a tagged Struct or a union of them."""
        self._decode: Callable[[bytes | bytearray | memoryview], M] = msgspec.msgpack.Decoder(
            message_type
        ).decode
        self._max_bytes = max_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """Take the next bytes and return the messages they complete.

        Raises BrokenFrame if a frame is too long, or its message cannot be decoded.
        """
        messages: list[M] = []
        if self._rest:
            self._rest += data
            used = self._decode_complete(self._rest, messages)
            del self._rest[:used]
        else:
            used = self._decode_complete(data, messages)
            self._rest += data[used:]
        return messages

    def _decode_complete(self, data: bytes | bytearray, messages: list[M]) -> int:
        """Append every message that is complete in `data`; return how many bytes they took."""
        position, last = 0, len(data) - LENGTH_BYTES
        try:
            while position <= last:
                (length,) = _read_length(data, position)
                if length > self._max_bytes:
                    raise BrokenFrame(f"a frame of {length} bytes, the limit is {self._max_bytes}")
                start = position + LENGTH_BYTES
                end = start + length
                if end > len(data):
                    break
                if length < _LONG_BYTES:
                    messages.append(self._decode(data[start:end]))
                else:
                    with memoryview(data)[start:end] as frame:
                        messages.append(self._decode(frame))
                position = end
        except UNDECODABLE as error:
            # Without its message, which may quote what was sent, at any length.
            name = type(error).__name__
            raise BrokenFrame(f"not a message of this connection: {name}") from None
        return position
