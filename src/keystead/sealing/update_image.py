"""Update images: their format, their signature, and their verification as they arrive.

    magic ‖ format version (2) ‖ header length (4) ‖ header (JSON) ‖ signature (96) ‖ chunks

Numbers are big-endian. The signature is ECDSA on P-384 with SHA-384 (FIPS 186-5), r ‖ s of 48 bytes
each, over `SIGNED_CONTEXT` ‖ header. The header holds the SHA-256 of every chunk, so that none is
accepted unverified, and nothing but lengths is read before the signature is verified.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from keystead.errors import InvalidInput

MAGIC: Final = b"keystead update\n"
FORMAT_VERSION: Final = 1
SIGNED_CONTEXT: Final = b"keystead update image, format 1\0"
PRODUCT: Final = "keystead"

MAX_HEADER_BYTES: Final = 256 * 1024
"""The longest header, which is in memory before its signature is verified."""
MAX_IMAGE_BYTES: Final = 2 * 1024**3
"""Most bytes in all chunks: several times a whole appliance, and what the header has room for
(2,048 digests of the longest chunks are 134 KiB)."""
MIN_CHUNK_BYTES: Final = 4 * 1024
MAX_CHUNK_BYTES: Final = 1024 * 1024
"""The longest chunk, which is in memory until its digest is verified."""
MAX_NOTES_CHARACTERS: Final = 32 * 1024

_SCALAR_BYTES: Final = 48
SIGNATURE_BYTES: Final = 2 * _SCALAR_BYTES
_PREFIX_BYTES: Final = len(MAGIC) + 2 + 4
MAX_ENVELOPE_BYTES: Final = _PREFIX_BYTES + MAX_HEADER_BYTES + SIGNATURE_BYTES
_SIGNING: Final = ec.ECDSA(hashes.SHA384())
_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


class ImageHeader(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """What an image is; `chunks` are the SHA-256 digests of its chunks, in hexadecimal.

    Every chunk has `chunk_size` bytes but the last, which has the rest of `size`. ValueError when
    that does not fit together.
    """

    product: str
    version: str
    """`major.minor.patch`."""
    security_version: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    """Increased with each release that fixes a vulnerability which must not be reopened."""
    release_notes: Annotated[str, msgspec.Meta(max_length=MAX_NOTES_CHARACTERS)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_IMAGE_BYTES)]
    """Bytes in all chunks."""
    chunk_size: Annotated[int, msgspec.Meta(ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)]
    chunks: list[Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]]

    def __post_init__(self) -> None:
        parse_version(self.version)
        if len(self.chunks) != -(-self.size // self.chunk_size):
            raise ValueError("the number of chunks does not fit the size")

    @property
    def major(self) -> int:
        """The first number of the version."""
        return parse_version(self.version)[0]

    def length_of(self, number: int) -> int:
        """Return how many bytes the chunk of this number, from 0 on, has."""
        return min(self.chunk_size, self.size - number * self.chunk_size)


def parse_version(text: str) -> tuple[int, int, int]:
    """Return the numbers of `major.minor.patch`. Raises ValueError for anything else."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a version, as 1.2.3 is")
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


class SignatureCheck(Protocol):
    """Decides whether a header is trusted. `UpdateKey` is an implementation."""

    def verify(self, header: bytes, signature: bytes) -> None:
        """Raise InvalidInput unless `signature` is a valid signature of `header`."""
        ...


class UpdateKey:
    """The public key that update images must be signed with."""

    def __init__(self, pem: bytes) -> None:
        """Raise InvalidInput unless `pem` is a P-384 public key (SubjectPublicKeyInfo)."""
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidInput("There is no public key in the PEM.") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p384(key.curve):
            raise InvalidInput("The public key is not one on the curve P-384.")
        self._key = key

    def verify(self, header: bytes, signature: bytes) -> None:
        """Raise InvalidInput unless `signature` is a valid signature of `header`."""
        r = int.from_bytes(signature[:_SCALAR_BYTES])
        s = int.from_bytes(signature[_SCALAR_BYTES:])
        try:
            self._key.verify(encode_dss_signature(r, s), SIGNED_CONTEXT + header, _SIGNING)
        except InvalidSignature:
            raise InvalidInput("The signature of the update image is wrong.") from None


class SigningKey:
    """The private key of an `UpdateKey`. It exists only where images are made."""

    def __init__(self, pem: bytes, passphrase: bytes | None = None) -> None:
        """Raise InvalidInput unless `pem` is a P-384 private key that `passphrase` opens.

        TypeError when the key is encrypted and there is no passphrase.
        """
        try:
            key = load_pem_private_key(pem, passphrase)
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidInput("No private key in the PEM, or not with this passphrase.") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p384(key.curve):
            raise InvalidInput("The private key is not one on the curve P-384.")
        self._key = key

    def envelope(self, header: ImageHeader) -> bytes:
        """Return the part of an image before its chunks. Raises InvalidInput if it is too long.

        `header` must have been made by `parse_header` or with checked values.
        """
        encoded = msgspec.json.encode(header)
        if len(encoded) > MAX_HEADER_BYTES:
            raise InvalidInput(f"The header takes more than {MAX_HEADER_BYTES} bytes.")
        r, s = decode_dss_signature(self._key.sign(SIGNED_CONTEXT + encoded, _SIGNING))
        signature = r.to_bytes(_SCALAR_BYTES) + s.to_bytes(_SCALAR_BYTES)
        numbers = FORMAT_VERSION.to_bytes(2) + len(encoded).to_bytes(4)
        return MAGIC + numbers + encoded + signature


def make_header(
    *, version: str, security_version: int, release_notes: str, size: int, chunks: Sequence[bytes]
) -> ImageHeader:
    """Return the header of an image of this product, cut into chunks of MAX_CHUNK_BYTES.

    Raises InvalidInput, which says which value does not fit.
    """
    fields = {
        "product": PRODUCT,
        "version": version,
        "securityVersion": security_version,
        "releaseNotes": release_notes,
        "size": size,
        "chunkSize": MAX_CHUNK_BYTES,
        "chunks": [digest.hex() for digest in chunks],
    }
    return parse_header(msgspec.json.encode(fields))


def parse_header(encoded: bytes) -> ImageHeader:
    """Return the header in this JSON. Raises InvalidInput if a value does not fit."""
    try:
        return msgspec.json.decode(encoded, type=ImageHeader)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The header of the update image: {error}.") from None


class IncomingImage:
    """An image that arrives. It returns only verified parts."""

    def __init__(self, check: SignatureCheck) -> None:
        self._check = check
        self._buffer = bytearray()
        self.chunks_done = 0
        """The number of chunks that were returned."""
        self._digest = hashlib.sha256()
        self.header: ImageHeader | None = None
        """Set when the signature is verified."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes, cut anywhere; yield the verified pieces that they complete.

        The first piece is all that comes before the chunks; `header` is set when it is yielded.
        Then comes a chunk a piece. Raises InvalidInput, or what the check does; the image is
        worthless then.
        """
        if self.header is None:
            self._buffer += data
            found = self._complete_envelope()
            if found is None:
                return
            envelope, self.header = found
            data = bytes(self._buffer[len(envelope) :])
            self._buffer.clear()
            yield envelope
        view = memoryview(data)
        while view:
            taken = self._take(view, self.header)
            view = view[taken:]
            if (chunk := self._complete_chunk(self.header)) is not None:
                yield chunk

    def finish(self) -> ImageHeader:
        """Return the header of the image. Raises InvalidInput if the image is incomplete."""
        if self.header is None or self.chunks_done < len(self.header.chunks):
            raise InvalidInput("The update image is truncated.")
        return self.header

    def _complete_envelope(self) -> tuple[bytes, ImageHeader] | None:
        """Return what comes before the chunks, and its header, once it is there and verified."""
        buffer = self._buffer
        if not MAGIC.startswith(buffer[: len(MAGIC)]):
            raise InvalidInput("This is not an update image of this product.")
        if len(buffer) < _PREFIX_BYTES:
            return None
        version = int.from_bytes(buffer[len(MAGIC) : len(MAGIC) + 2])
        if version != FORMAT_VERSION:
            raise InvalidInput(f"The update image has the unknown format version {version}.")
        length = int.from_bytes(buffer[len(MAGIC) + 2 : _PREFIX_BYTES])
        if length > MAX_HEADER_BYTES:
            raise InvalidInput(f"The header of the update image is over {MAX_HEADER_BYTES} bytes.")
        end = _PREFIX_BYTES + length
        if len(buffer) < end + SIGNATURE_BYTES:
            return None
        header = bytes(buffer[_PREFIX_BYTES:end])
        self._check.verify(header, bytes(buffer[end : end + SIGNATURE_BYTES]))
        return bytes(buffer[: end + SIGNATURE_BYTES]), _of_this_product(parse_header(header))

    def _take(self, view: memoryview, header: ImageHeader) -> int:
        """Take of `view` what the next chunk lacks; return how much that was."""
        if self.chunks_done == len(header.chunks):
            raise InvalidInput("There are bytes after the end of the update image.")
        part = view[: header.length_of(self.chunks_done) - len(self._buffer)]
        self._buffer += part
        self._digest.update(part)  # In small parts, so that no turn of the event loop takes long.
        return len(part)

    def _complete_chunk(self, header: ImageHeader) -> bytes | None:
        number = self.chunks_done
        if len(self._buffer) < header.length_of(number):
            return None
        if self._digest.hexdigest() != header.chunks[number]:
            raise InvalidInput(f"Chunk {number} of the update image is damaged.")
        chunk = bytes(self._buffer)
        self._buffer.clear()
        self._digest = hashlib.sha256()
        self.chunks_done += 1
        return chunk


def _of_this_product(header: ImageHeader) -> ImageHeader:
    if header.product != PRODUCT:
        raise InvalidInput(f"The update image is for another product: {header.product[:64]!r}.")
    return header


def _is_p384(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP384R1)
