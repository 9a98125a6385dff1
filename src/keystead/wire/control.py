"""Control messages of the supervisor: one msgpack message a packet, a file descriptor with some.

Over AF_UNIX SOCK_SEQPACKET socket pairs: a packet arrives whole or not at all, and the end of the
other process is the end of the stream.
"""

import socket
from typing import TypeVar

import msgspec

MAX_PACKET_BYTES = 4096
Message = TypeVar("Message")

_encoder = msgspec.msgpack.Encoder()


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new control socket, the first of them non-blocking."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def send(end: socket.socket, message: msgspec.Struct, *, descriptor: int | None = None) -> None:
    """Send one message, with a copy of `descriptor`. Raises OSError when the other end is gone."""
    packet = _encoder.encode(message)
    if descriptor is None:
        end.send(packet)
    else:
        socket.send_fds(end, [packet], [descriptor])  # The supervisor's right alone.


def receive(
    end: socket.socket, decoder: msgspec.msgpack.Decoder[Message]
) -> tuple[Message, list[socket.socket]] | None:
    """Return the next message and the sockets that came with it, None at the end of the stream.

    Raises BlockingIOError when there is none yet, one of frames.UNDECODABLE for a message of
    another type than the decoder's.
    """
    data, descriptors, _flags, _address = socket.recv_fds(end, MAX_PACKET_BYTES, 1)
    if not data:
        return None
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    return decoder.decode(data), sockets
