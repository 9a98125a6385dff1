"""Long JSON bodies: whatever is in them, few copies and short steps; what is legal is read."""

import asyncio
import base64
import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.algorithms import ENCRYPT
from keystead.api.http.encoding import decode_base64
from keystead.api.http.json_bodies import decode_json
from keystead.api.http.long_bodies import (
    LONGEST_SHORT_STRING,
    MAX_REST_BYTES,
    MAX_STRINGS,
    STEP_BYTES,
    decode_long_json,
)
from keystead.api.resources.use_keys import REQUEST_SHAPES
from keystead.errors import InvalidInput

EncryptRequest = REQUEST_SHAPES[ENCRYPT]
SIZE = 4 * 1024 * 1024
MOST_COPIES = 1.5
"""Beside the body itself; it makes 2.5."""
DATA = bytes(range(256)) * (SIZE // 512)
BASE64 = base64.b64encode(DATA)
AROUND = b'{"mode":"AES_CBC","message":"%b"}'
BLANKS = b" \t\r\n" * 20


async def decode(body: bytes) -> tuple[object, bytes]:
    wanted, decode_text = await decode_long_json(body, EncryptRequest)
    return wanted, decode_text(wanted.message, name="message")


def escaped(text: bytes) -> bytes:
    return b"".join(b"\\u%04x" % digit for digit in text)


def spaced(*tokens: bytes) -> bytes:
    return BLANKS.join([*tokens, b"}"])


LEGAL = {
    "one line": AROUND % BASE64,
    "escaped slashes": AROUND % BASE64.replace(b"/", b"\\/"),
    "all escaped": AROUND % escaped(BASE64[: SIZE // 8]),
    "escaped line breaks": AROUND % base64.encodebytes(DATA).replace(b"\n", b"\\r\\n"),
    "pretty-printed": json.dumps({"mode": "x", "message": BASE64.decode()}, indent=4).encode(),
    "blanks everywhere": spaced(b"{", b'"message"', b":", b'"%b"' % BASE64, b",", b'"mode":""'),
    "blanks behind": (AROUND % b"QUJD") + b" " * SIZE,
    "blanks before": b"\n" * SIZE + (AROUND % b""),
    "an escaped name": AROUND.replace(b"message", b"m\\u0065ssage") % BASE64,
}

HOSTILE = {
    "an odd number of quotes": b'{"mode":"A\\"A","message":"%b' % BASE64 + b" " * SIZE,
    "valid, with an odd number": spaced(b'{"mode":"A\\"A","message":"%b"' % BASE64) + b"x",
    "no end": b'{"message":"' + b"A" * SIZE,
    "only quotes": b'"' * SIZE,
    "only escaped quotes": AROUND % (b'\\"' * (SIZE // 2)),
    "only backslashes": AROUND % (b"\\" * SIZE),
    "a long name": b'{"%b":"x"}' % BASE64,
    "deep lists": b"[" * SIZE,
    "deep objects": b'{"a":' * (SIZE // 5),
    "many names": b"{" + b'"mode":"x",' * (SIZE // 11) + b'"message":""}',
    "many other names": b"{" + b",".join(b'"%d":1' % one for one in range(SIZE // 12)) + b"}",
    "many strings": b"[" + b'"",' * (SIZE // 3) + b'""]',
    "many numbers": b"[" + b"1 ," * (SIZE // 3) + b"1]",
    "blanks and no end": b" 1" * (SIZE // 2),
    "a long number": b'{"mode":%b}' % (b"9" * SIZE),
    "surrogates": AROUND % (b"\\ud83d\\ude00" * (SIZE // 12)),
    "half a surrogate": AROUND % (BASE64 + b"\\ud83d"),
    "a bad escape": AROUND % (BASE64 + b"\\x41"),
    "half an escape": AROUND % (BASE64 + b"\\u00"),
    "characters": AROUND % ("é".encode() * (SIZE // 2)),
    "a line break inside": AROUND % (BASE64 + b"\n"),
    "zeros": bytes(SIZE),
    "a vertical tab": b"\x0b" + (AROUND % BASE64),
    "two numbers that blanks part": b'{"mode":1 2,"message":"%b"}' % BASE64,
    "no base64": AROUND % (BASE64 + b"?"),
    "padding inside": AROUND % (BASE64 + b"QQ==" + BASE64),
    "a repeated name before": b'{"mode":"x","mode":"y","message":"%b"}' % BASE64,
    "a repeated name behind": b'{"message":"%b","mode":"x","message":"QQ=="}' % BASE64,
    "a repeated name, escaped": b'{"message":"%b","mode":"x","m\\u006fde":"x"}' % BASE64,
    "a repeated long one": b'{"mode":"x","message":"%b","message":"%b"}' % (BASE64, BASE64),
    "too many strings": b'{"mode":["%b"]}' % b'","'.join([b"Q"] * MAX_STRINGS) + b" " * SIZE,
    "another name": b'{"mode":"x","message":"%b","other":1}' % BASE64,
}


@pytest.mark.parametrize("body", LEGAL.values(), ids=LEGAL)
async def test_what_clients_send_is_read_as_a_short_body_is(body):
    wanted, message = await decode(body)
    whole = json.loads(body)
    assert message == decode_base64(whole["message"], name="message")
    assert wanted.mode == whole["mode"]


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_the_rest_is_refused(body):
    with pytest.raises(InvalidInput):
        await decode(body)


@pytest.mark.parametrize("body", (LEGAL | HOSTILE).values(), ids=LEGAL | HOSTILE)
async def test_neither_takes_many_copies(body):
    tracemalloc.start()
    try:
        await asyncio.gather(decode(body), return_exceptions=True)
        assert tracemalloc.get_traced_memory()[1] < MOST_COPIES * len(body)
    finally:
        tracemalloc.stop()


class Watched(bytes):
    """A body that knows how far it has been looked at."""

    furthest = 0

    def find(self, part, start=0, end=None):
        found = super().find(part, start, end)
        self.furthest = max(self.furthest, end if found < 0 else found)
        return found

    def __getitem__(self, place):
        self.furthest = max(self.furthest, place.stop)
        return super().__getitem__(place)


@pytest.mark.parametrize("body", (LEGAL | HOSTILE).values(), ids=LEGAL | HOSTILE)
async def test_others_are_served_after_every_step(body):
    watched = Watched(body)
    reading = asyncio.ensure_future(decode(watched))
    before, steps = 0, []
    while not reading.done():
        await asyncio.sleep(0)
        steps.append(watched.furthest - before)
        before = watched.furthest
    assert isinstance(reading.exception(), InvalidInput | None)
    assert max(steps) <= 2 * STEP_BYTES + MAX_REST_BYTES


LENGTHS = [bound + by for bound in (LONGEST_SHORT_STRING, STEP_BYTES) for by in range(-8, 8)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("digit", [b"A", b"\\u0041", b"\\/"])
async def test_no_length_of_a_string_and_no_place_of_an_escape_is_special(length, digit):
    text = b"A" * (length % 6) + digit * (length // len(digit))
    whole = text + b"A" * (-len(json.loads(b'"%b"' % text)) % 4)
    _, message = await decode(AROUND % whole)
    assert message == base64.b64decode(json.loads(b'"%b"' % whole))


TOKENS = [*(bytes([one]) for one in b'{}[]:," \n\\u1aA/'), b"\\u0041", b'"mode":', b'"message":']


@given(st.lists(st.sampled_from(TOKENS), max_size=8), st.sampled_from([0, 2 * STEP_BYTES]))
def test_what_is_read_is_what_a_short_body_says(tokens, blanks):
    body = b'{"mode":"x"' + b"".join(tokens) + b" " * blanks + b',"message":"QUJD"}'
    try:
        expected = decode_json(body, EncryptRequest)
        data = decode_base64(expected.message, name="message")
    except InvalidInput:
        with pytest.raises(InvalidInput):
            asyncio.run(decode(body))
        return
    wanted, message = asyncio.run(decode(body))
    assert (wanted.mode, message) == (expected.mode, data)


class Batch(msgspec.Struct):
    messages: list[str]
    context: str = ""


@pytest.mark.parametrize("length", [4, LONGEST_SHORT_STRING, LONGEST_SHORT_STRING + 4, 40_000])
async def test_many_strings_may_be_long(length):
    texts = [base64.b64encode(bytes([number % 256]) * (length // 4 * 3)) for number in range(1000)]
    body = b'{"context":"%b","messages":["%b"]}' % (texts[7], b'","'.join(texts))
    batch, decode_text = await decode_long_json(body, Batch)
    assert decode_text(batch.context, name="context") == base64.b64decode(texts[7])
    contents = [decode_text(text, name="messages") for text in batch.messages]
    assert contents == [base64.b64decode(text) for text in texts]


async def test_a_long_string_that_is_no_base64_is_named_by_the_one_who_knows_its_name():
    bad = b"QUJD" * 20_000 + b"?" + b"QUJD" * 20_000
    body = b'{"messages":["%b","%b","QUI="]}' % (BASE64, bad)
    batch, decode_text = await decode_long_json(body, Batch)
    assert decode_text(batch.messages[0], name="messages[0]") == DATA
    with pytest.raises(InvalidInput, match=r"^messages\[1\] is not valid base64"):
        decode_text(batch.messages[1], name="messages[1]")
    assert decode_text(batch.messages[2], name="messages[2]") == b"AB"


async def test_what_stands_for_a_long_string_cannot_be_sent_by_a_client():
    body = b'{"messages":["%b","%b"]}' % (BASE64, b"~" * (LONGEST_SHORT_STRING + 1) + b"0")
    batch, decode_text = await decode_long_json(body, Batch)
    with pytest.raises(InvalidInput):
        decode_text(batch.messages[1], name="x")
