"""Update images for tests, and the keys that they are signed with."""

import hashlib
import os
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from keystead.errors import WrongState
from keystead.sealing.update_image import MIN_CHUNK_BYTES, PRODUCT, ImageHeader, SigningKey

CONTENT = os.urandom(2 * MIN_CHUNK_BYTES + 1000)
"""Two chunks and a part of one."""


@cache
def key_pair(number: int) -> tuple[bytes, bytes]:
    """Return a private key (PKCS#8) and its public one (PEM); another one for each number."""
    assert number >= 0
    key = ec.generate_private_key(ec.SECP384R1())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def header(content: bytes = CONTENT, **fields: Any) -> ImageHeader:
    """Return the header of an image with this content, in the shortest chunks."""
    chunk_size = fields.pop("chunk_size", MIN_CHUNK_BYTES)
    chunks = [content[i : i + chunk_size] for i in range(0, len(content), chunk_size)]
    defaults = {
        "product": PRODUCT,
        "version": "1.2.3",
        "security_version": 1,
        "release_notes": "Better.",
        "size": len(content),
        "chunk_size": chunk_size,
        "chunks": [hashlib.sha256(chunk).hexdigest() for chunk in chunks],
    }
    return ImageHeader(**(defaults | fields))


def signed(content: bytes = CONTENT, *, key: int = 0, **fields: Any) -> bytes:
    """Return an image with this content."""
    return SigningKey(key_pair(key)[0]).envelope(header(content, **fields)) + content


class MemorySlot:
    """An update slot in memory; `arriving` is what an upload under way has stored."""

    def __init__(self) -> None:
        self.staged: bytes | None = None
        self.arriving: bytes | None = None
        self.room = 2**40
        self.commits = 0

    async def begin(self, size: int) -> None:
        self.arriving, self.room = b"", size

    async def write(self, data: bytes) -> None:
        assert self.arriving is not None
        self.arriving += data
        assert len(self.arriving) <= self.room

    async def keep(self) -> None:
        assert self.arriving is not None
        assert len(self.arriving) == self.room
        self.staged, self.arriving = self.arriving, None

    async def abandon(self) -> None:
        self.arriving = None

    async def cancel(self) -> None:
        if self.staged is None:
            raise WrongState("No update image is staged.")
        self.staged = None

    async def commit(self) -> None:
        if self.staged is None:
            raise WrongState("No update image is staged.")
        self.commits += 1
