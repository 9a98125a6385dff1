"""Update images: what is signed arrives as it was, and nothing else does."""

from itertools import pairwise

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import InvalidInput
from keystead.sealing.update_image import (
    FORMAT_VERSION,
    MAGIC,
    MAX_CHUNK_BYTES,
    MAX_HEADER_BYTES,
    MAX_IMAGE_BYTES,
    MIN_CHUNK_BYTES,
    SIGNATURE_BYTES,
    ImageHeader,
    IncomingImage,
    SigningKey,
    UpdateKey,
    make_header,
    parse_header,
)
from tests.support.update_images import CONTENT, header, key_pair, signed

KEY = UpdateKey(key_pair(0)[1])
IMAGE = signed()
ENVELOPE = len(IMAGE) - len(CONTENT)
CHUNKS = [CONTENT[i : i + MIN_CHUNK_BYTES] for i in range(0, len(CONTENT), MIN_CHUNK_BYTES)]


def accepted(*parts: bytes) -> list[bytes]:
    """What comes out of an image that arrives in these parts."""
    image = IncomingImage(KEY)
    pieces = [piece for part in parts for piece in image.feed(part)]
    image.finish()
    return pieces


def accepted_of_a_bad_one(image: bytes) -> list[bytes]:
    """What comes out of an image before it is refused, which it must be."""
    incoming = IncomingImage(KEY)
    pieces = []
    with pytest.raises(InvalidInput):  # noqa: PT012 - what came before is the point
        for piece in incoming.feed(image):
            pieces.append(piece)  # noqa: PERF402 - kept when the next one raises
        incoming.finish()
    return pieces


def flipped(position: int, bit: int) -> bytes:
    changed = bytearray(IMAGE)
    changed[position] ^= 1 << bit
    return bytes(changed)


def with_header(encoded: bytes, *, version: int = FORMAT_VERSION, length: int | None = None):
    """An image with this header and a signature of something else."""
    numbers = version.to_bytes(2) + (len(encoded) if length is None else length).to_bytes(4)
    return MAGIC + numbers + encoded + bytes(SIGNATURE_BYTES) + CONTENT


def test_an_image_comes_out_chunk_by_chunk_behind_its_envelope():
    assert accepted(IMAGE) == [IMAGE[:ENVELOPE], *CHUNKS]
    image = IncomingImage(KEY)
    assert next(image.feed(IMAGE)) == IMAGE[:ENVELOPE]
    assert image.header == header()


@given(st.lists(st.integers(0, len(IMAGE)), max_size=8))
def test_it_may_arrive_cut_anywhere(cuts):
    parts = [IMAGE[a:b] for a, b in pairwise([0, *sorted(cuts), len(IMAGE)])]
    assert accepted(*parts) == [IMAGE[:ENVELOPE], *CHUNKS]


def test_it_may_arrive_byte_by_byte():
    image = signed(b"short")
    assert accepted(*(bytes([byte]) for byte in image))[1:] == [b"short"]


@given(st.binary(min_size=1, max_size=3 * MIN_CHUNK_BYTES), st.text(max_size=100))
def test_what_is_signed_comes_out(content, notes):
    image = signed(content, release_notes=notes)
    _, *chunks = accepted(image)
    assert b"".join(chunks) == content


@pytest.mark.parametrize("bit", range(8))
def test_no_bit_of_the_envelope_may_differ(bit):
    for position in range(ENVELOPE):
        assert accepted_of_a_bad_one(flipped(position, bit)) == []


@given(st.integers(ENVELOPE, len(IMAGE) - 1), st.integers(0, 7))
def test_no_bit_of_a_chunk_may_differ(position, bit):
    number = (position - ENVELOPE) // MIN_CHUNK_BYTES
    pieces = accepted_of_a_bad_one(flipped(position, bit))
    assert pieces == [IMAGE[:ENVELOPE], *CHUNKS[:number]]


def test_an_image_that_ends_within_its_envelope_is_refused():
    for length in range(ENVELOPE):
        assert accepted_of_a_bad_one(IMAGE[:length]) == []


@pytest.mark.parametrize("chunks", range(len(CHUNKS)))
@pytest.mark.parametrize("more", [0, 1, 500, 999])
def test_an_image_that_ends_within_its_chunks_is_refused(chunks, more):
    pieces = accepted_of_a_bad_one(IMAGE[: ENVELOPE + chunks * MIN_CHUNK_BYTES + more])
    assert pieces == [IMAGE[:ENVELOPE], *CHUNKS[:chunks]]


@given(st.binary(min_size=1, max_size=100))
def test_nothing_may_follow_the_last_chunk(more):
    assert accepted_of_a_bad_one(IMAGE + more) == [IMAGE[:ENVELOPE], *CHUNKS]
    image = IncomingImage(KEY)
    list(image.feed(IMAGE))
    with pytest.raises(InvalidInput, match="after the end"):
        list(image.feed(more))


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data):
    assert accepted_of_a_bad_one(data) == []
    assert accepted_of_a_bad_one(MAGIC + data) == []


def test_what_is_no_image_is_refused_at_its_first_byte():
    with pytest.raises(InvalidInput, match="not an update image"):
        accepted(b"_NETHSM_UPDATE_\0")
    with pytest.raises(InvalidInput, match="not an update image"):
        accepted(b"x")


def test_another_format_version_is_refused_by_its_number():
    with pytest.raises(InvalidInput, match="unknown format version 2"):
        accepted(with_header(b"{}", version=2))


def test_a_long_header_is_refused_before_it_is_read():
    with pytest.raises(InvalidInput, match=f"over {MAX_HEADER_BYTES} bytes"):
        accepted(with_header(b"", length=MAX_HEADER_BYTES + 1)[:22])


def test_a_header_is_not_parsed_before_its_signature_is_verified():
    with pytest.raises(InvalidInput, match="signature"):
        accepted(with_header(b"{"))


def test_an_image_signed_with_another_key_is_refused():
    with pytest.raises(InvalidInput, match="signature"):
        accepted(signed(key=1))


def test_an_image_for_another_product_is_refused():
    with pytest.raises(InvalidInput, match="another product: 'toaster'"):
        accepted(signed(product="toaster"))


def test_the_header_has_these_names():
    encoded = IMAGE[len(MAGIC) + 6 : ENVELOPE - SIGNATURE_BYTES]
    assert msgspec.json.decode(encoded, type=ImageHeader) == header()
    assert set(msgspec.json.decode(encoded)) == {
        "product",
        "version",
        "securityVersion",
        "releaseNotes",
        "size",
        "chunkSize",
        "chunks",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"version": "1.2"},
        {"version": "1.02.3"},
        {"version": "1.2.3\n"},
        {"version": "1.2.3-rc1"},
        {"version": "1000000.0.0"},
        {"securityVersion": -1},
        {"securityVersion": 2**31},
        {"releaseNotes": "x" * (32 * 1024 + 1)},
        {"size": 0},
        {"size": MAX_IMAGE_BYTES + 1},
        {"size": len(CONTENT) + MIN_CHUNK_BYTES},
        {"chunkSize": MIN_CHUNK_BYTES - 1},
        {"chunkSize": MAX_CHUNK_BYTES + 1},
        {"chunks": []},
        {"chunks": ["x" * 64] * 3},
        {"chunks": ["A" * 64] * 3},
        {"chunks": ["a" * 64 + "\n"] * 3},
        {"more": 1},
    ],
)
def test_a_header_that_does_not_fit_together_is_refused(fields):
    encoded = msgspec.json.encode(msgspec.to_builtins(header()) | fields)
    with pytest.raises(InvalidInput, match="header of the update image"):
        parse_header(encoded)


def test_the_largest_image_fits_its_header():
    chunks = [bytes(32)] * (MAX_IMAGE_BYTES // MAX_CHUNK_BYTES)
    made = make_header(
        version="999999.999999.999999",
        security_version=2**31 - 1,
        release_notes="x" * 32 * 1024,
        size=MAX_IMAGE_BYTES,
        chunks=chunks,
    )
    envelope = SigningKey(key_pair(0)[0]).envelope(made)
    assert len(envelope) < MAX_HEADER_BYTES * 3 / 4
    assert next(IncomingImage(KEY).feed(envelope)) == envelope


def test_a_header_with_too_many_chunks_cannot_be_signed():
    content = bytes(MIN_CHUNK_BYTES * 4000)
    with pytest.raises(InvalidInput, match="more than"):
        signed(content)


def test_only_p384_keys_are_taken():
    other = ec.generate_private_key(ec.SECP256R1())
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(InvalidInput, match="P-384"):
        UpdateKey(public)
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
    )
    with pytest.raises(InvalidInput, match="P-384"):
        SigningKey(private, b"pass")
    for wrong in (b"", key_pair(0)[0]):
        with pytest.raises(InvalidInput, match="no public key"):
            UpdateKey(wrong)
    with pytest.raises(InvalidInput, match="No private key"):
        SigningKey(key_pair(0)[1])


def test_an_encrypted_key_needs_its_passphrase():
    key = load_pem_private_key(key_pair(0)[0], None)
    encrypted = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
    )
    SigningKey(encrypted, b"pass")
    with pytest.raises(InvalidInput, match="not with this passphrase"):
        SigningKey(encrypted, b"wrong")
    with pytest.raises(TypeError):
        SigningKey(encrypted)
