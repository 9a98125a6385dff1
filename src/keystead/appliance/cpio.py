"""Writes the archive that the kernel unpacks as its root file system (cpio, format newc).

The format is in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
from collections.abc import Iterable, Iterator
from typing import Final

from keystead.appliance.content import ImageFile

_MAGIC: Final = "070701"
_ALIGNMENT: Final = 4
_TRAILER: Final = "TRAILER!!!"


def archive(entries: Iterable[ImageFile]) -> Iterator[bytes]:
    """Yield the archive in pieces. All entries belong to root, and their time is 0."""
    number = 0
    for number, entry in enumerate(entries, start=1):
        yield _header(number, entry.path, len(entry.content), mode=entry.mode, device=entry.device)
        yield _padded(entry.content)
    yield _header(number + 1, _TRAILER, 0)


def _header(
    number: int, path: str, size: int, *, mode: int = 0, device: tuple[int, int] = (0, 0)
) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, size, 0, 0, *device, len(name), 0)
    return _padded((_MAGIC + "".join(f"{field:08X}" for field in fields)).encode() + name)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)
