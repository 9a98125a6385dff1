"""Control messages between the supervisor and the other processes.

They go over AF_UNIX SOCK_SEQPACKET socket pairs. Each packet holds one msgpack message, and may
carry a file descriptor. A packet arrives as a whole or not at all. The stream ends when the other
process ends.
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
    """Send one message, with a copy of `descriptor`. Raises OSError if the other end is gone."""
    packet = _encoder.encode(message)
    if descriptor is None:
        end.send(packet)
    else:
        socket.send_fds(end, [packet], [descriptor])  # Only the supervisor may send descriptors.


def receive(
    end: socket.socket, decoder: msgspec.msgpack.Decoder[Message]
) -> tuple[Message, list[socket.socket]] | None:
    """Return the next message and the sockets that came with it, or None at the end of the stream.

    Raises BlockingIOError if there is no message yet, and an error in frames.UNDECODABLE if the
    message does not have the decoder's type.
    """
    data, descriptors, _flags, _address = socket.recv_fds(end, MAX_PACKET_BYTES, 1)
    if not data:
        return None
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    return decoder.decode(data), sockets
