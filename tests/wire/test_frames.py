"""The frames between processes: whatever way the bytes are cut, the same messages come out."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.wire.edge_messages import (
    BodyChunk,
    CoreToEdge,
    EdgeToCore,
    Request,
    RequestAborted,
    Response,
)
from keystead.wire.frames import BrokenFrame, FrameDecoder, append_frame
from keystead.wire.platform_messages import PlatformToCore

MAX = 4096

ids = st.integers(min_value=0, max_value=2**32)
edge_messages = st.one_of(
    st.builds(BodyChunk, id=ids, data=st.binary(max_size=200), last=st.booleans()),
    st.builds(RequestAborted, id=ids),
    st.builds(
        Request,
        id=ids,
        method=st.text(max_size=8),
        path=st.text(max_size=40),
        query=st.text(max_size=40),
        headers=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4),
        client=st.text(max_size=15),
        body=st.binary(max_size=200),
    ),
)


def framed(*messages: msgspec.Struct) -> bytes:
    buffer = bytearray()
    for message in messages:
        append_frame(buffer, message, max_bytes=MAX)
    return bytes(buffer)


@given(
    st.lists(edge_messages, max_size=6),
    st.lists(st.integers(min_value=1, max_value=50), max_size=60),
)
def test_messages_survive_any_cutting_of_the_stream(messages, cuts):
    stream, decoder, received = framed(*messages), FrameDecoder(EdgeToCore, max_bytes=MAX), []
    for cut in [*cuts, len(stream) + 1]:
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert received == messages


@pytest.mark.parametrize(
    "payload",
    [
        b"\x98\x00\x01\xa3GET\xa2\xff\xfe\xa0\x80\xa1x\xc4\x00",
        b"\x98\x00\x01\xa3GET\xa3\xed\xa0\x80\xa0\x80\xa1x\xc4\x00",
        b"\x92" + b"\x91" * 4000,
        b"\x93\x02\x01" + b"\x91" * 4000,
    ],
    ids=["not UTF-8", "a surrogate", "deep", "deep where nothing may be"],
)
def test_what_a_decoder_could_stumble_over_is_a_broken_frame(payload):
    decoder = FrameDecoder(EdgeToCore, max_bytes=5000)
    with pytest.raises(BrokenFrame):
        decoder.feed(len(payload).to_bytes(4) + payload)


def test_a_broken_frame_does_not_say_what_was_in_it():
    payload = msgspec.msgpack.encode([17, 1, "a passphrase", "a passphrase"])
    with pytest.raises(BrokenFrame) as broken:
        FrameDecoder(PlatformToCore, max_bytes=MAX).feed(len(payload).to_bytes(4) + payload)
    assert "passphrase" not in str(broken.value)


@given(st.binary(max_size=300))
def test_garbage_gives_broken_frame_or_nothing_and_never_another_error(garbage):
    decoder = FrameDecoder(EdgeToCore, max_bytes=MAX)
    with contextlib.suppress(BrokenFrame):
        decoder.feed(garbage)


def test_a_frame_over_the_limit_is_refused_before_its_body_arrives():
    decoder = FrameDecoder(EdgeToCore, max_bytes=MAX)
    with pytest.raises(BrokenFrame, match="4097 bytes"):
        decoder.feed((MAX + 1).to_bytes(4, "big"))


def test_a_frame_at_the_limit_passes():
    overhead = len(framed(BodyChunk(1, b"x" * 1000, last=True))) - 1000 - 4
    message = BodyChunk(1, b"x" * (MAX - overhead), last=True)
    assert FrameDecoder(EdgeToCore, max_bytes=MAX).feed(framed(message)) == [message]


def test_a_message_of_the_other_direction_is_refused():
    with pytest.raises(BrokenFrame, match="not a message"):
        FrameDecoder(CoreToEdge, max_bytes=MAX).feed(framed(RequestAborted(1)))


def test_a_field_of_the_wrong_type_is_refused():
    payload = msgspec.msgpack.encode([4, "one", 200, [], b""])
    with pytest.raises(BrokenFrame, match="not a message"):
        FrameDecoder(CoreToEdge, max_bytes=MAX).feed(len(payload).to_bytes(4, "big") + payload)


def test_a_message_over_the_limit_is_not_sent_and_leaves_the_buffer_as_it_was():
    buffer = bytearray(framed(RequestAborted(7)))
    before = bytes(buffer)
    with pytest.raises(ValueError, match="the limit is 4096"):
        append_frame(buffer, Response(1, 200, b"", b"x" * MAX), max_bytes=MAX)
    assert buffer == before
