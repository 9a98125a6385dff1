"""The end of etcd's write-ahead log: what a member knows to be committed.

The format is that of etcd's package `wal`, which is the same in all versions 3: a record has its
length in front, as 8 bytes, and then a message. The log goes on in a new file at 64 MB, and each
file begins with the state.
"""

from pathlib import Path
from typing import Annotated, Final

from keystead.etcd.protobuf import Malformed, ProtobufMessage, decode

_LENGTH_BYTES: Final = 8
_PADDED: Final = 0x80
_PADDING: Final = 0x07
_STATE: Final = 3
"""The type of a record with the state."""


class _Record(ProtobufMessage, frozen=True):
    type: Annotated[int, 1] = 0
    crc: Annotated[int, 2] = 0
    data: Annotated[bytes, 3] = b""


class _State(ProtobufMessage, frozen=True):
    term: Annotated[int, 1] = 0
    vote: Annotated[int, 2] = 0
    commit: Annotated[int, 3] = 0


def committed_index(directory: Path) -> int:
    """Return the number of the last entry that is known to be committed, 0 if none is.

    `directory` is etcd's own, of a stopped member. A crash may have cut off the last record.
    Raises OSError if the log cannot be read.
    """
    files = sorted((directory / "member" / "wal").glob("*.wal"))
    for file in reversed(files):
        states = _states(file.read_bytes())
        if states:
            return states[-1].commit
    return 0


def _states(log: bytes) -> list[_State]:
    found: list[_State] = []
    begin = 0
    while (head := log[begin : begin + _LENGTH_BYTES]) and any(head):
        length = int.from_bytes(head[:-1], "little")
        padding = head[-1] & _PADDING if head[-1] & _PADDED else 0
        begin += len(head)
        try:
            record = decode(_Record, log[begin : begin + length])
            if record.type == _STATE:
                found.append(decode(_State, record.data))
        except Malformed:
            return found
        begin += length + padding
    return found
