"""Writes update images to files. Images are read in pieces: no whole image is in memory."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from keystead.errors import InvalidInput
from keystead.sealing.update_image import (
    MAX_CHUNK_BYTES,
    MAX_IMAGE_BYTES,
    ImageHeader,
    SigningKey,
    make_header,
)


def write_update(
    content: Path,
    out: Path,
    key: SigningKey,
    *,
    version: str,
    security_version: int,
    release_notes: str,
) -> ImageHeader:
    """Write an update image with what is in the file `content` to the new file `out`.

    Returns its header. Raises InvalidInput if a value does not fit, and OSError if a
    file cannot be read or written.
    """
    with content.open("rb") as image:
        digests, size = _digests(image)
        header = make_header(
            version=version,
            security_version=security_version,
            release_notes=release_notes,
            size=size,
            chunks=digests,
        )
        image.seek(0)
        with _new_file(out) as file:
            file.write(key.envelope(header))
            _copy(image, file, digests)
    return header


def _digests(image: BinaryIO) -> tuple[list[bytes], int]:
    """Return the SHA-256 of each chunk, and the size of all."""
    digests, size = [], 0
    while chunk := image.read(MAX_CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_IMAGE_BYTES:
            raise InvalidInput(f"The image is over {MAX_IMAGE_BYTES} bytes.")
        digests.append(hashlib.sha256(chunk).digest())
    return digests, size


def _copy(image: BinaryIO, out: BinaryIO, digests: list[bytes]) -> None:
    for digest in digests:
        chunk = image.read(MAX_CHUNK_BYTES)
        if hashlib.sha256(chunk).digest() != digest:
            raise InvalidInput("The image changed while it was signed.")
        out.write(chunk)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file that is at `path` once it is complete; never instead of another one."""
    unfinished = path.with_name(path.name + ".new")
    with unfinished.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.link(unfinished, path)  # Unlike a rename, this never replaces a file.
        finally:
            unfinished.unlink()
