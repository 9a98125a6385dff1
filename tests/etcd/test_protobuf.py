"""Messages as bytes, and bytes that are no messages."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.etcd import messages as m
from keystead.etcd.protobuf import Malformed, ProtobufMessage, decode, encode


class Inner(ProtobufMessage, frozen=True):
    number: Annotated[int, 1] = 0


class Outer(ProtobufMessage, frozen=True):
    number: Annotated[int, 1] = 0
    text: Annotated[str, 2] = ""
    data: Annotated[bytes, 3] = b""
    flag: Annotated[bool, 4] = False
    inner: Annotated[Inner | None, 5] = None
    inners: Annotated[tuple[Inner, ...], 16] = ()
    texts: Annotated[tuple[str, ...], 17] = ()
    maybe: Annotated[int | None, 18] = None


NUMBERS = st.integers(0, 2**64 - 1)
INNER = st.builds(Inner, NUMBERS)
OUTER = st.builds(
    Outer,
    number=NUMBERS,
    text=st.text(max_size=5),
    data=st.binary(max_size=200),
    flag=st.booleans(),
    inner=st.none() | INNER,
    inners=st.lists(INNER, max_size=3).map(tuple),
    texts=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    maybe=st.none() | NUMBERS,
)


def test_the_examples_of_the_specification_encode_as_it_says():
    assert encode(Inner(150)) == bytes.fromhex("089601")
    assert encode(Outer(text="testing")) == bytes.fromhex("120774657374696e67")
    assert encode(Outer(inner=Inner(150))) == bytes.fromhex("2a03089601")


def test_what_is_zero_is_not_sent_and_what_is_none_is_told_from_zero():
    assert encode(Outer()) == b""
    assert encode(Outer(maybe=0)) == bytes.fromhex("900100")
    assert decode(Outer, encode(Outer(maybe=0))).maybe == 0
    assert decode(Outer, encode(Outer(inner=Inner()))).inner == Inner()


@given(OUTER)
def test_a_message_comes_back(message):
    assert decode(Outer, encode(message)) == message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_malformed(data):
    for kind in (Outer, m.RangeResponse, m.TxnResponse, m.WatchResponse):
        try:
            decode(kind, data)
        except Malformed:
            continue


@given(OUTER, st.data())
def test_a_message_that_is_cut_off_gives_no_other_error_than_malformed(message, data):
    encoded = encode(message)
    cut = encoded[: data.draw(st.integers(0, len(encoded)))]
    try:
        decode(Outer, cut)
    except Malformed:
        return


def test_fields_that_are_not_known_are_skipped():
    varint, fixed_64, length, fixed_32 = (
        "f80101",
        "f9010102030405060708",
        "fa0102abcd",
        "fd0101020304",
    )
    data = bytes.fromhex(varint + fixed_64 + length + fixed_32 + "0805")
    assert decode(Inner, data) == Inner(5)


def test_a_field_does_not_reach_beyond_its_message():
    """The number in the inner message goes on in the outer one, which has more bytes."""
    with pytest.raises(Malformed, match="cut off"):
        decode(Outer, bytes.fromhex("2a020880" + "0801"))


@pytest.mark.parametrize(
    "data",
    ["08", "08ffffffffffffffffffff01", "0a0100", "1205414243", "1201ff", "0b", "0d01", "2a020880"],
    ids=["no number", "too long", "other type", "cut off", "not UTF-8", "group", "cut", "inside"],
)
def test_what_breaks_the_format_is_malformed(data):
    with pytest.raises(Malformed):
        decode(Outer, bytes.fromhex(data))


def test_messages_inside_each_other_are_bounded():
    message = m.TxnRequest()
    for _ in range(40):
        message = m.TxnRequest(success=(m.RequestOp(request_txn=message),))
    with pytest.raises(Malformed, match="deeply"):
        decode(m.TxnRequest, encode(message))
