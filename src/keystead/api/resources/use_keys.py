"""Keys in use: a handler for each use that the algorithms have; and random bytes."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from keystead.algorithms import (
    USES,
    Option,
    Result,
    Use,
    field_name,
    ignored_options,
    options_of,
)
from keystead.api.http.encoding import (
    STEP_BYTES,
    decode_base64,
    encode_base64,
    encode_long_base64,
)
from keystead.api.http.json_bodies import decode_json
from keystead.api.http.long_bodies import DecodeText
from keystead.api.http.route import Call, Created, Handler, Reply
from keystead.api.resources.options import shape_of, value_of
from keystead.api.resources.shapes import (
    Item,
    KeyAttributesRequest,
    MechanismName,
    Restrictions,
    created,
    json_reply,
)
from keystead.errors import InvalidInput
from keystead.model.ids import parse_key_id, parse_new_key_id
from keystead.model.secret import Hidden
from keystead.operations.batches import MAX_MESSAGES, PART_MESSAGES, WantedBatch, use_key_for_each
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import cached, load
from keystead.operations.random import random_bytes
from keystead.operations.use_keys import NewKey, WantedUse, is_long, use_key, use_key_into
from keystead.storage.key_cache import StoredKey

_NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})
_JSON_TYPES: Final = {bytes: str, bool: bool}
_to_json: Final = msgspec.json.Encoder().encode
"""Renders bytes as base64, faster than `binascii`."""
_BATCH: Final = msgspec.Meta(min_length=1, max_length=MAX_MESSAGES)


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


class IntoRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The Generic key that a secret becomes; `length` is in bits, as of a key that is generated."""

    mechanisms: list[MechanismName]
    id: str = ""
    label: str = ""
    restrictions: Restrictions | None = None
    length: int | None = None

    def new_key(self) -> NewKey:
        """Return the value for operations. Raises InvalidInput if it is not possible."""
        restrictions = Restrictions() if self.restrictions is None else self.restrictions
        return NewKey(
            key_id=parse_new_key_id(self.id) if self.id else None,
            attributes=KeyAttributesRequest(self.mechanisms, restrictions, self.label).attributes(),
            inherits_tags=self.restrictions is None,
            bits=self.length,
        )


def handler_of(use: Use) -> Handler:
    """Return the handler of POST /keys/{id}/<verb>: the key uses the message of the request."""
    shape, options = REQUEST_SHAPES[use], options_of(use)
    first = next(iter(use.gives))
    takes, mode, may_stay, has_batches = use.takes, use.mode, use.may_stay, use.batch is not None
    first_option = (takes is not None) + has_batches + (mode is None)
    no_options = (None,) * (len(options) + may_stay)

    async def handler(call: Call[Any]) -> Reply[Any]:
        # The 404 of the key comes before the 400 of a bad body.
        context = call.context
        key_id = parse_key_id(call.parameters["key_id"])
        key = cached(context, key_id) or await load(context, key_id)
        short = call.short_body()
        if short:
            body, decode = decode_request(short, use)
        else:
            body, decode = await call.json_and_base64(shape)
        text: Any = getattr(body, takes) if takes else None
        if has_batches and (text is UNSET or body.messages is not UNSET):
            return await _answer_batch(context, key, use, body, decode)
        message = decode(text, name=takes) if takes else None
        # Nearly no request to sign has any.
        has_options = astuple(body)[first_option:] != no_options
        given = _given(use, body, options, decode) if has_options else _NO_OPTIONS
        long = not short and is_long(message, given)
        wanted = WantedUse(use, mode or body.mode, message, given, long)
        if may_stay and body.into is not None:
            return created(await use_key_into(context, key, wanted, body.into.new_key()))
        result = await use_key(context, key, wanted, _as_it_is)
        if type(result) is bytes and len(result) <= STEP_BYTES:  # A signature, and fast.
            return Reply(200, _to_json({first: result}))
        del message, wanted  # It may be long, and the answer is as long again.
        return Reply(200, await _encoded(use.gives, result))

    handler.__doc__ = f"POST /keys/{{id}}/{use.verb}: {use.summary}."
    # The description reads them. They are made here, where no type checker can see them.
    handler.__annotations__ = {
        "call": GenericAlias(Call, shape),
        "return": _answer(use),
    }
    return handler


async def _answer_batch(
    context: CallerContext,
    key: StoredKey,
    use: Use,
    body: Any,  # noqa: ANN401 - of a shape made here
    decode: DecodeText,
) -> Reply[Any]:
    """Answer a request with many messages."""
    if body.messages is UNSET:
        raise InvalidInput("Invalid data for JSON schema: message or messages is missing.")
    if body.message is not UNSET:
        raise InvalidInput("Give either message or messages, not both.")
    texts = enumerate(body.messages)
    messages = [decode(text, name=f"messages[{place}]") for place, text in texts]
    given = _given(use, body, options_of(use), decode)
    wanted = WantedBatch(use, body.mode, messages, given)
    results = await use_key_for_each(context, key, wanted)
    return Reply(200, await _encoded_batch(use, results))


def _as_it_is(result: Result) -> Result:
    return result


def decode_request(short: bytes, use: Use) -> tuple[Any, DecodeText]:
    """Return a short body, and what gives the bytes of its texts, as `Call.json_and_base64` does.

    The JSON library decodes base64 in half the time. It takes no line breaks, and its errors do not
    name the field, so a body that it refuses is read again.
    """
    try:
        return decode_json(short, _DECODED_SHAPES[use]), _is_decoded
    except InvalidInput:
        return decode_json(short, REQUEST_SHAPES[use]), decode_base64


def _is_decoded(text: Any, *, name: str) -> bytes:  # noqa: ANN401, ARG001 - in place of DecodeText
    decoded: bytes = text
    return decoded


def _request_shape(use: Use, base64: type) -> type[Any]:
    """Return the shape of a request's body, with texts in base64 as `base64`: str, or bytes."""
    mode = [("mode", str)] if use.mode is None else []
    message = _message_fields(use, base64)
    options = [
        (option.name, shape_of(option.kind, base64) | None, None) for option in options_of(use)
    ]
    into = [("into", IntoRequest | None, None)] if use.may_stay else []
    return msgspec.defstruct(
        f"{use.verb.capitalize()}Request",
        [*mode, *message, *options, *into],
        bases=(Hidden,),
        namespace={"__doc__": f"POST /keys/{{id}}/{use.verb}; base64."},
        module=__name__,
        forbid_unknown_fields=True,
        rename="camel",
    )


def _message_fields(use: Use, base64: type) -> list[Any]:
    if use.takes is None:
        return []
    if use.batch is None:
        return [(use.takes, base64)]
    messages: Any = Annotated[GenericAlias(list, base64), _BATCH]
    return [(use.takes, base64 | UnsetType, UNSET), ("messages", messages | UnsetType, UNSET)]


REQUEST_SHAPES: Final = MappingProxyType({use: _request_shape(use, str) for use in USES})
"""What the body of a request must be, for each use."""
_DECODED_SHAPES: Final = MappingProxyType({use: _request_shape(use, bytes) for use in USES})


def _answer(use: Use) -> object:
    """Return what the handler of `use` is annotated to give."""
    given = GenericAlias(Reply, _answer_shape(use))
    return given | Created[Item] if use.may_stay else given


def _answer_shape(use: Use) -> type[Any]:
    (first, kind), *others = use.gives.items()
    fields: list[Any] = [(first, _JSON_TYPES[kind])]
    if use.batch is not None:
        fields = [
            (first, _JSON_TYPES[kind] | UnsetType, UNSET),
            (use.batch, GenericAlias(list, _JSON_TYPES[kind]) | UnsetType, UNSET),
        ]
    fields += [(name, _JSON_TYPES[kind] | UnsetType, UNSET) for name, kind in others]
    return msgspec.defstruct(
        f"{use.verb.capitalize()}Answer",
        fields,
        bases=(Hidden,),
        namespace={"__doc__": f"The answer to {use.verb}; base64."},
        module=__name__,
    )


def _given(
    use: Use,
    body: Any,  # noqa: ANN401 - of a shape made here
    options: Sequence[Option],
    decode: DecodeText,
) -> dict[str, Any]:
    """Return the options of a request, decoded, without those that its mode ignores."""
    ignored = ignored_options(use, use.mode or body.mode)
    return {
        option.name: value_of(option.kind, sent, decode, name=field_name(option.name))
        for option in options
        if option not in ignored and (sent := getattr(body, option.name)) is not None
    }


async def _encoded(names: Iterable[str], result: Result) -> bytes:
    """Return a JSON object of the parts of `result`, by their names in order; the first is long."""
    parts = dict(zip(names, result if isinstance(result, tuple) else (result,), strict=False))
    (name, first), *others = parts.items()
    if isinstance(first, bool) or len(first) <= STEP_BYTES:
        return _to_json(parts)
    rest = b'",' + _to_json(dict(others))[1:] if others else b'"}'
    return await encode_long_base64(first, before=b'{"%b":"' % name.encode(), after=rest)


async def _encoded_batch(use: Use, results: Sequence[Any]) -> bytes:
    """Return a JSON object with a list of results; the event loop serves others in between."""
    name = str(use.batch)
    parts = []
    for start in range(0, len(results), PART_MESSAGES):
        parts.append(_to_json(results[start : start + PART_MESSAGES])[1:-1])
        await asyncio.sleep(0)
    return b'{"%b":[%b]}' % (name.encode(), b",".join(parts))
