"""Which shared libraries a program or library needs, read from its dynamic section.

The format is in elf(5). Only little-endian 64-bit files are read.
"""

import struct
from collections.abc import Iterator
from typing import Final

_MAGIC: Final = b"\x7fELF\x02\x01"
_PROGRAM_HEADERS: Final = struct.Struct("<32xQ14xHH")
"""Where the program headers are, the size of each, and their number."""
_SEGMENT: Final = struct.Struct("<I4xQQ8xQ")
"""Type, offset, virtual address and size in the file."""
_TAG: Final = struct.Struct("<QQ")
_LOAD: Final = 1
_DYNAMIC: Final = 2
_NEEDED: Final = 1
_STRING_TABLE: Final = 5


def is_elf(content: bytes) -> bool:
    """Return whether this is a program or library for a 64-bit machine."""
    return content.startswith(_MAGIC)


def needed_libraries(content: bytes) -> list[str]:
    """Return the names of the libraries that the file needs, such as `libc.so.6`."""
    segments = list(_segments(content))
    tags = [
        tag
        for kind, offset, _, size in segments
        if kind == _DYNAMIC
        for tag in _TAG.iter_unpack(content[offset : offset + size])
    ]
    names = dict(tags).get(_STRING_TABLE)
    if names is None:
        return []
    (strings,) = (
        offset + names - address
        for kind, offset, address, size in segments
        if kind == _LOAD and address <= names < address + size
    )
    return [_text(content, strings + value) for tag, value in tags if tag == _NEEDED]


def _segments(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    start, size, count = _PROGRAM_HEADERS.unpack_from(content)
    for number in range(count):
        yield _SEGMENT.unpack_from(content, start + number * size)


def _text(content: bytes, start: int) -> str:
    return content[start : content.index(b"\0", start)].decode()
