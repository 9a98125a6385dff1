"""JSON bodies: one way to read each, nothing that is not in the shape, no work without a bound."""

import json
import re
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.algorithms import ENCRYPT, SIGN
from keystead.api.http.encoding import decode_base64, encode_base64
from keystead.api.http.json_bodies import decode_json
from keystead.api.http.route import Parts
from keystead.api.resources.shapes import KeyAttributesRequest
from keystead.api.resources.use_keys import REQUEST_SHAPES, RandomRequest, decode_request
from keystead.api.routes import ROUTES
from keystead.errors import InvalidInput
from tests.support.core import ADMIN, Core

GOOD = b'{"mode":"PKCS1","message":"AAAA"}'


SignRequest, EncryptRequest = REQUEST_SHAPES[SIGN], REQUEST_SHAPES[ENCRYPT]


class Open(msgspec.Struct):
    """It has a map, and takes names that it does not know."""

    deep: dict[str, dict[str, int]] = {}


def refusal(body: bytes, shape: type = SignRequest) -> str:
    with pytest.raises(InvalidInput) as caught:
        decode_json(body, shape)
    return caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"mode":"PKCS1","mode":"PSS_SHA256","message":"AAAA"}',
        b'{"mode":"PKCS1","message":"AAAA","mode":"PKCS1"}',
        b'{"mode":"PKCS1","message":"AAAA", "mode" : "PSS_SHA256" }',
        b'{"mode":"PKCS1","message":"AAAA","\\u006dode":"PSS_SHA256"}',
        b'{"\\u006Dode":"PKCS1","message":"AAAA","m\\u006fde":"PSS_SHA256"}',
        b'{"mode":"PKCS1","message":"AAAA","message":"mode"}',
    ],
)
def test_a_name_that_comes_twice_is_refused(body):
    assert "comes twice" in refusal(body)


def test_a_name_that_comes_twice_deeper_is_refused():
    body = b'{"mechanisms":[],"restrictions":{"tags":["a"],"tags":["b"]}}'
    assert refusal(body, KeyAttributesRequest) == "Invalid JSON: tags comes twice."


@pytest.mark.parametrize(
    ("shape", "around"),
    [
        (dict, b"%b"),
        (Any, b"%b"),
        (dict[str, Any], b'{"a":%b}'),
        (dict[str, dict[str, int]], b'{"a":%b}'),
        (list[Any], b"[[[%b]]]"),
        (list[Any] | None, b"[%b]"),
        (Any, b'{"a":[{"b":%b}]}'),
        (Open, b'{"deep":{"x":%b}}'),
        (Open, b'{"unknown":[%b]}'),
    ],
)
@pytest.mark.parametrize("filler", [b"", b" " * 1024 * 1024], ids=["short", "long"])
def test_so_it_is_in_every_open_shape_and_at_every_depth(shape, around, filler):
    fits = around % (b'{"n":1,%b"m":1}' % filler)
    decode_json(fits, shape)
    assert refusal(around % (b'{"n":1,%b"n":1}' % filler), shape) == "Invalid JSON: n comes twice."


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        b'{"mode":"mode","message":"message"}',
        b'{"mode":"\\"mode\\":","message":"\\/\\/\\/\\/"}',
        b'{"mode":"\\\\","message":"AAAA"}',
    ],
)
def test_a_name_among_the_values_is_fine(body):
    assert decode_json(body, SignRequest) == SignRequest(**json.loads(body))


class Defaulting(msgspec.Struct, forbid_unknown_fields=True):
    """Each field but the first has a default that a body can have too."""

    mode: str
    length: int = 0
    label: str = ""
    tags: list[str] = []
    kept: KeyAttributesRequest | None = None


_VALUES = {
    "mode": [b'""', b'":"'],
    "length": [b"0", b"5"],
    "label": [b'""', b'"x"', b'"a:b"'],
    "tags": [b"[]", b'["x:y"]'],
    "kept": [b"null", b'{"mechanisms":[]}', b'{"mechanisms":[],"mechanisms":[]}'],
}


@given(
    st.lists(
        st.sampled_from([(name, text) for name, texts in _VALUES.items() for text in texts]),
        max_size=7,
    )
)
def test_no_default_hides_a_name_that_comes_twice(members):
    body = b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), text) for name, text in members)
    names = [name for name, _ in members]
    is_single = len(set(names)) == len(names) and body.count(b"mechanisms") < 2
    if is_single and "mode" in names:
        assert decode_json(body, Defaulting) == msgspec.json.decode(body, type=Defaulting)
    else:
        refusal(body, Defaulting)


@pytest.mark.parametrize(
    "body",
    [
        b'{"mode":"m","message":"a","message":"b"}',
        b'{"mode":"m","iv":null,"message":"a","message":"b"}',
        b'{"mode":"m","mode":"m","message":"a"}',
        b'{"mode":"m","message":"a","kdf":{"hkdf":"a","hkdf":"b"}}',
        b'{"mode":"m","kdf":{},"kdf":{}}',
    ],
)
def test_a_second_name_does_not_hide_behind_a_field_that_is_missing(body):
    class Sent(msgspec.Struct, forbid_unknown_fields=True):
        mode: str
        message: str | msgspec.UnsetType = msgspec.UNSET
        iv: str | None = None
        kdf: dict[str, str] | None = None

    assert "comes twice" in refusal(body, Sent)


def test_a_field_with_a_value_of_its_own_is_no_sign_of_a_name():
    assert "comes twice" in refusal(b'{"mode":"a","mode":"b"}', Defaulting)


def test_the_same_names_in_different_places_are_fine():
    body = b'{"mechanisms":["tags"],"label":"mechanisms","restrictions":{"tags":["tags","label"]}}'
    assert decode_json(body, KeyAttributesRequest).restrictions.tags == ["tags", "label"]


texts = st.text('mode"\\/ivA:{}', max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["mode", "message", "iv"]), texts), max_size=6))
def test_what_is_accepted_reads_the_same_first_name_first_and_last_name_first(pairs):
    members = ",".join(f"{json.dumps(name)}:{json.dumps(text)}" for name, text in pairs)
    body = f"{{{members}}}".encode()
    names = [name for name, _ in pairs]
    fits = len(set(names)) == len(names) and {"mode", "message"} <= set(names)
    if fits:
        assert decode_json(body, EncryptRequest) == EncryptRequest(**dict(pairs))
    else:
        refusal(body, EncryptRequest)


def shapes() -> set[type]:
    """Every JSON shape that a handler takes."""
    found: set[type] = set()
    for route in ROUTES:
        call, *_ = get_type_hints(route.handler).values()
        found.update(one for one in get_args(call) if isinstance(one, type))
    return {one for one in found if issubclass(one, msgspec.Struct) and not issubclass(one, Parts)}


@pytest.mark.parametrize("shape", sorted(shapes(), key=lambda shape: shape.__name__))
def test_every_shape_refuses_what_it_does_not_name(shape):
    # The search for repeated names looks for the shape's only.
    assert shape.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD.decode().encode("utf-16-le"),
        GOOD.decode().encode("utf-32"),
        GOOD + b"\0",
        b"\0" + GOOD,
        GOOD + GOOD,
        GOOD.replace(b"AAAA", b"\0"),
        GOOD.replace(b"AAAA", b"\n"),
        GOOD.replace(b"AAAA", b"\xff\xfe"),
        GOOD.replace(b"AAAA", b"\xed\xa0\x80"),
        GOOD.replace(b"AAAA", b"\\ud800"),
        GOOD.replace(b"AAAA", b"\\udc00\\ud800"),
        GOOD.replace(b'"', b"'"),
        GOOD.replace(b"}", b",}"),
        b"/**/" + GOOD,
        b"NaN",
        b"",
    ],
)
def test_what_is_no_json_in_utf_8_is_refused(body):
    refusal(body)


@pytest.mark.parametrize(
    "number",
    [b"1e999999", b"1E400", b"-1e999999", b"9" * 5000, b"1" + b"0" * 400_000, b"1.5", b"NaN"],
    ids=len,
)
def test_numbers_out_of_this_world_are_refused(number):
    refusal(b'{"length":%b}' % number, RandomRequest)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"mode":', b'{"mode":[', b"[[{"])
@pytest.mark.parametrize("shape", [SignRequest, KeyAttributesRequest])
def test_depth_is_refused_and_not_followed(opening, shape):
    refusal(opening * 300_000, shape)


async def test_it_is_a_400_that_says_so(core: Core):
    body = b'{"passphrase":"passphrase 1","passphrase":"passphrase 2"}'
    answer = await core.request(
        "POST",
        "/users/admin/passphrase",
        user=ADMIN,
        body=body,
        headers={"content-type": "application/json"},
    )
    assert (answer.status, answer.message) == (400, "Invalid JSON: passphrase comes twice.")


PIECES = ["AA", "A", "+/", "-_", "=", "==", "\n", "\r\n", " ", "é"]
TEXTS = st.binary().map(encode_base64) | st.lists(st.sampled_from(PIECES)).map("".join)


@given(st.lists(TEXTS, min_size=3, max_size=3))
def test_texts_of_a_short_body_are_what_base64_says_wherever_they_are_decoded(texts):
    message, iv, aad = texts
    sent = {"mode": "AES_GCM", "message": message, "iv": iv, "aad": aad}
    body, decode = decode_request(json.dumps(sent).encode(), ENCRYPT)
    for name in ("message", "iv", "aad"):
        try:
            wanted = decode_base64(sent[name], name=name)
        except InvalidInput as error:
            with pytest.raises(InvalidInput, match=f"^{re.escape(error.message)}$"):
                decode(getattr(body, name), name=name)
        else:
            assert decode(getattr(body, name), name=name) == wanted
