"""The end of a request's body: found wherever the stream is cut, and never guessed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.edge.limits import (
    MAX_CHUNK_LINE_BYTES,
    MAX_CHUNK_OVERHEAD_BYTES,
    MAX_TRAILER_BYTES,
)
from keystead.edge.request_body import ChunkedBody, SizedBody
from keystead.edge.request_head import RequestRefused

NEXT = b"GET / HTTP/1.1\r\n"
cuts = st.lists(st.integers(min_value=1, max_value=40), max_size=40)
extensions = st.sampled_from([b"", b" ", b";a=b", b' ; x="\xe9"'])
trailers = st.lists(st.sampled_from([b"A: b\r\n", b"Digest:\r\n"]), max_size=3).map(b"".join)


def fed(body, stream: bytes, sizes: list[int]) -> bytes:
    received = b""
    for size in [*sizes, len(stream) + 1]:
        received += body.feed(stream[:size])
        stream = stream[size:]
    return received


@given(st.binary(max_size=200), cuts)
def test_a_sized_body_ends_after_its_length(content, sizes):
    body = SizedBody(len(content))
    assert fed(body, content + NEXT, sizes) == content
    assert body.is_complete
    assert body.rest == NEXT
    assert body.left() == 0


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), extensions, trailers, cuts)
def test_a_chunked_body_ends_after_its_last_chunk(chunks, extension, trailer, sizes):
    stream = b"".join(b"%X%s\r\n%s\r\n" % (len(c), extension, c) for c in chunks)
    body = ChunkedBody()
    assert fed(body, stream + b"00" + extension + b"\r\n" + trailer + b"\r\n" + NEXT, sizes) == (
        b"".join(chunks)
    )
    assert body.is_complete
    assert body.rest == NEXT


@pytest.mark.parametrize("missing", [1, 2, 3, 5, 8])
def test_a_chunked_body_is_not_complete_before_its_last_byte(missing):
    body = ChunkedBody()
    body.feed(b"3\r\nabc\r\n0\r\n\r\n"[:-missing])
    assert not body.is_complete


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"\r\n", 400),
        (b"x\r\n", 400),
        (b"-1\r\n", 400),
        (b"+1\r\n", 400),
        (b"0x1\r\n", 400),
        (b" 1\r\na\r\n", 400),
        (b"1\na\r\n", 400),
        (b"1 x\r\n", 400),
        (b"1;\0\r\n", 400),
        (b"1;a\rb\r\n", 400),
        (b"1" * 16 + b"\r\n", 400),
        (b"fffffffffffffffffffff\r\n", 400),
        (b"1_0\r\n", 400),
        (b"1,1\r\n", 400),
        (b"\t1\r\na\r\n", 400),
        (b"1\x0b\r\na\r\n", 400),
        (b"1\r\r\na\r\n", 400),
        (b"1\r\na\r0\r\n\r\n", 400),
        (b"1;a\nb\r\n", 400),
        (b"0\r\nA : b\r\n\r\n", 400),
        (b"0\r\nA: b\n\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"1\r\na\n0\r\n\r\n", 400),
        (b"1;" + b"a" * MAX_CHUNK_LINE_BYTES, 400),
        (b"0\r\nno trailer\r\n\r\n", 400),
        (b"0\r\n A: folded\r\n\r\n", 400),
        (b"0\r\n" + b"A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * (MAX_TRAILER_BYTES // 30), 431),
    ],
)
def test_malformed_chunks_are_refused(stream, status):
    with pytest.raises(RequestRefused) as caught:
        ChunkedBody().feed(stream)
    assert caught.value.status == status


def test_trailers_change_nothing_of_the_request():
    body = ChunkedBody()
    fields = b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\nAuthorization: Basic YTpi\r\n"
    assert body.feed(b"1\r\na\r\n0\r\n" + fields + b"\r\n" + NEXT) == b"a"
    assert body.is_complete
    assert body.rest == NEXT


def test_chunks_of_one_byte_are_taken():
    body = ChunkedBody()
    assert body.feed(b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n") == b"x" * 100_000
    assert body.is_complete


@pytest.mark.parametrize("line", [b"1;" + b"a" * 200, b"1" + b" " * 200, b"0" * 14 + b"1"])
def test_a_body_that_is_mostly_size_lines_is_refused(line):
    chunks = MAX_CHUNK_OVERHEAD_BYTES * 10 // len(line)
    with pytest.raises(RequestRefused, match="too small"):
        ChunkedBody().feed((line + b"\r\nx\r\n") * chunks)


@given(st.binary(max_size=80), cuts)
def test_garbage_is_refused_or_waited_for_and_never_another_error(garbage, sizes):
    with contextlib.suppress(RequestRefused):
        fed(ChunkedBody(), garbage, sizes)
