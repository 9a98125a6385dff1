"""What the initramfs of the appliance holds, file by file, each with its origin."""

import hashlib
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

READ_ONLY: Final = 0o444
EXECUTABLE: Final = 0o555

BUILDER: Final = "made by the builder"
"""The origin of what is in no package."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of the image. `path` begins with no slash."""

    path: str
    kind: int
    """The type, as in `st_mode`."""
    permissions: int
    content: bytes
    """What is in the file, or where the link leads."""
    origin: str
    """The package, as a package URL, that the file was taken from."""
    device: tuple[int, int] = (0, 0)
    packed: Sequence["ImageFile"] = ()
    """The files that this one holds. In the image they are nowhere else."""

    @property
    def mode(self) -> int:
        """Type and permissions, as in `st_mode`."""
        return self.kind | self.permissions


def file(
    path: str,
    content: bytes,
    origin: str,
    *,
    permissions: int = READ_ONLY,
    packed: Sequence[ImageFile] = (),
) -> ImageFile:
    """Return a regular file, which holds the files that are `packed` into it."""
    return ImageFile(path, stat.S_IFREG, permissions, content, origin, packed=packed)


def directory(path: str) -> ImageFile:
    """Return a directory."""
    return ImageFile(path, stat.S_IFDIR, EXECUTABLE, b"", BUILDER)


def link(path: str, target: str) -> ImageFile:
    """Return a symbolic link."""
    return ImageFile(path, stat.S_IFLNK, 0o777, target.encode(), BUILDER)


def device(path: str, major: int, minor: int) -> ImageFile:
    """Return a character device that root alone may use."""
    return ImageFile(path, stat.S_IFCHR, 0o600, b"", BUILDER, (major, minor))


def with_directories(entries: Iterable[ImageFile]) -> list[ImageFile]:
    """Return the entries sorted by path, with every directory before what is in it.

    Raises ValueError if two entries have the same path.
    """
    found: dict[str, ImageFile] = {}
    for entry in entries:
        if entry.path in found:
            raise ValueError(f"{entry.path} comes from {found[entry.path].origin} and again")
        found[entry.path] = entry
    for path in list(found):
        for parent in PurePosixPath(path).parents[:-1]:
            found.setdefault(str(parent), directory(str(parent)))
    return [found[path] for path in sorted(found)]


def listing(entries: Sequence[ImageFile]) -> list[Mapping[str, object]]:
    """Return what is in the image: path, mode, size, SHA-256 and origin of each entry, as JSON.

    A file that is packed into another one says into which, and the rest is of the file unpacked.
    """
    return [listed for entry in entries for listed in _listed(entry)]


def _listed(entry: ImageFile) -> Iterator[Mapping[str, object]]:
    yield {
        "path": f"/{entry.path}",
        "mode": f"{entry.mode:06o}",
        "size": len(entry.content),
        "sha256": hashlib.sha256(entry.content).hexdigest(),
        "origin": entry.origin,
    }
    for packed in entry.packed:
        for listed in _listed(packed):
            yield {**listed, "packedInto": f"/{entry.path}"}
