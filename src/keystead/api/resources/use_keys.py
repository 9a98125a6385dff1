"""Keys in use: a handler for each use that the algorithms have; and random bytes."""

from collections.abc import Iterable, Mapping, Sequence
from types import GenericAlias, MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from keystead.algorithms import USES, Option, Result, Use, ignored_options, options_of
from keystead.api.http.encoding import (
    STEP_BYTES,
    decode_base64,
    encode_base64,
    encode_long_base64,
)
from keystead.api.http.route import Call, Handler, Reply
from keystead.api.resources.shapes import json_reply
from keystead.model.ids import parse_key_id
from keystead.model.secret import Hidden
from keystead.operations.manage_keys import find
from keystead.operations.random import random_bytes
from keystead.operations.use_keys import use_key

_NO_OPTIONS: Final[Mapping[str, bytes]] = MappingProxyType({})
_JSON_TYPES: Final = {bytes: str, bool: bool}


class RandomRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /random."""

    length: int


class Random(Hidden):
    """The answer to random; base64."""

    random: str


async def random(call: Call[RandomRequest]) -> Reply[Random]:
    """POST /random: random bytes."""
    length = (await call.json(RandomRequest)).length
    return json_reply(Random(encode_base64(random_bytes(length))))


def handler_of(use: Use) -> Handler:
    """Return the handler of POST /keys/{id}/<verb>: the key uses the message of the request."""
    shape, options = REQUEST_SHAPES[use], options_of(use)
    first = next(iter(use.gives)).encode()
    no_options = (None,) * len(options)

    async def handler(call: Call[Any]) -> Reply[Any]:
        # The 404 of the key comes before the 400 of a bad body.
        context = call.context
        key = await find(context, parse_key_id(call.parameters["key_id"]))
        wanted, decode = await call.json_and_base64(shape)
        message = decode(getattr(wanted, use.takes), name=use.takes)
        has_options = astuple(wanted)[2:] != no_options  # Nearly no request to sign has any.
        given = _given(use, wanted, options) if has_options else _NO_OPTIONS
        result = await use_key(context, key, use, wanted.mode, message, given)
        if result.__class__ is bytes and len(result) <= STEP_BYTES:  # A signature, and fast.
            return Reply(200, b'{"%b":"%b"}' % (first, encode_base64(result).encode()))
        del message  # It may be long, and the answer is as long again.
        return Reply(200, await _encoded(use.gives, result))

    handler.__doc__ = f"POST /keys/{{id}}/{use.verb}: {use.summary}."
    # The description reads them. They are made here, where no type checker can see them.
    handler.__annotations__ = {
        "call": GenericAlias(Call, shape),
        "return": GenericAlias(Reply, _answer_shape(use)),
    }
    return handler


def _request_shape(use: Use) -> type[Any]:
    options = [(option.name, str | None, None) for option in options_of(use)]
    return msgspec.defstruct(
        f"{use.verb.capitalize()}Request",
        [("mode", str), (use.takes, str), *options],
        bases=(Hidden,),
        namespace={"__doc__": f"POST /keys/{{id}}/{use.verb}; base64."},
        module=__name__,
        forbid_unknown_fields=True,
    )


REQUEST_SHAPES: Final = MappingProxyType({use: _request_shape(use) for use in USES})
"""What the body of a request must be, for each use."""


def _answer_shape(use: Use) -> type[Any]:
    (first, kind), *others = use.gives.items()
    optional = [(name, _JSON_TYPES[kind] | UnsetType, UNSET) for name, kind in others]
    return msgspec.defstruct(
        f"{use.verb.capitalize()}Answer",
        [(first, _JSON_TYPES[kind]), *optional],
        bases=(Hidden,),
        namespace={"__doc__": f"The answer to {use.verb}; base64."},
        module=__name__,
    )


def _given(use: Use, wanted: Any, options: Sequence[Option]) -> dict[str, bytes]:  # noqa: ANN401 - of a shape made here
    """Return the options of a request, decoded, without those that its mode ignores."""
    ignored = ignored_options(use, wanted.mode)
    texts = {
        option.name: getattr(wanted, option.name) for option in options if option not in ignored
    }
    return {
        name: decode_base64(text, name=name) for name, text in texts.items() if text is not None
    }


async def _encoded(names: Iterable[str], result: Result) -> bytes:
    """Return a JSON object of the parts of `result`, by their names in order; the first is long."""
    first, *others = result if isinstance(result, tuple) else (result,)
    name, *other_names = (one.encode() for one in names)
    fields = (
        b',"%b":%b' % (name, _json(part)) for name, part in zip(other_names, others, strict=False)
    )
    after = b"".join(fields) + b"}"
    if isinstance(first, bool) or len(first) <= STEP_BYTES:
        return b'{"%b":%b%b' % (name, _json(first), after)
    return await encode_long_base64(first, before=b'{"%b":"' % name, after=b'"' + after)


def _json(part: bytes | bool) -> bytes:  # noqa: FBT001 - a value, not a switch
    if isinstance(part, bool):
        return msgspec.json.encode(part)
    return b'"%b"' % encode_base64(part).encode()
