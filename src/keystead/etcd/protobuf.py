"""Protocol Buffers, as far as etcd needs them: a message is a struct with numbered fields.

    class Range(ProtobufMessage, frozen=True):
        key: Annotated[bytes, 1] = b""

A field is bytes, str, bool, an int that is not negative, a message, a tuple of messages or texts,
or one of the first five or None. None is not sent. Other fields are not sent if they are zero or
empty, as version 3 of the language has it. Fields with unknown numbers are skipped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import astuple

_VARINT: Final = 0
_FIXED_64: Final = 1
_LENGTH: Final = 2
_FIXED_32: Final = 5
_LONGEST_VARINT: Final = 10
_MORE: Final = 0x80
"""This bit of a byte says that the number goes on: each byte has seven bits of it."""
_SHORT: Final = [bytes([number]) for number in range(_MORE)]
_DEEPEST: Final = 16
"""The most messages inside each other. etcd's have five levels."""


class Malformed(ValueError):
    """Raised if bytes are not the message that they should be."""


class ProtobufMessage(msgspec.Struct, frozen=True):
    """The base class of messages. It never shows its fields, because records are in them."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


AnyMessage = TypeVar("AnyMessage", bound=ProtobufMessage)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    number: int
    kind: type
    is_repeated: bool
    is_optional: bool
    """Whether a zero or an empty value is sent, because None is not."""


def encode(message: ProtobufMessage) -> bytes:
    """Return the message as bytes."""
    parts: list[bytes] = []
    for value, field in zip(astuple(message), _encoded_fields(type(message)), strict=True):
        tag, written, is_repeated, is_optional = field
        if is_repeated:
            for one in value:
                parts += (tag, written(one))
        elif value or (is_optional and value is not None):
            parts += (tag, written(value))
    return b"".join(parts)


def decode(kind: type[AnyMessage], data: bytes) -> AnyMessage:
    """Return the message of this kind in `data`. Raises Malformed if it cannot be parsed."""
    return cast("AnyMessage", _decode(kind, data, 0, len(data), _DEEPEST))


@cache
def _fields(kind: type[ProtobufMessage]) -> Sequence[_Field]:
    hints = get_type_hints(kind, include_extras=True)
    return [_field(name, *get_args(hints[name])) for name in kind.__struct_fields__]


@cache
def _encoded_fields(
    kind: type[ProtobufMessage],
) -> Sequence[tuple[bytes, Callable[[Any], bytes], bool, bool]]:
    """Return each field's tag, how a value is written, and whether it is repeated or optional."""
    return [
        (
            _varint(field.number << 3 | (_VARINT if field.kind in (int, bool) else _LENGTH)),
            _WRITTEN.get(field.kind, _written_message),
            field.is_repeated,
            field.is_optional,
        )
        for field in _fields(kind)
    ]


def _field(name: str, annotation: Any, number: int) -> _Field:  # noqa: ANN401 - any annotation
    if get_origin(annotation) is tuple:
        return _Field(name, number, get_args(annotation)[0], is_repeated=True, is_optional=False)
    options = [one for one in get_args(annotation) if one is not type(None)]
    kind = options[0] if options else annotation
    return _Field(name, number, kind, is_repeated=False, is_optional=bool(options))


@cache
def _by_number(kind: type[ProtobufMessage]) -> dict[int, _Field]:
    return {field.number: field for field in _fields(kind)}


def _written_bytes(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _written_text(value: str) -> bytes:
    return _written_bytes(value.encode())


def _written_message(value: ProtobufMessage) -> bytes:
    return _written_bytes(encode(value))


def _varint(number: int) -> bytes:
    if number < _MORE:
        return _SHORT[number]
    if number < _MORE * _MORE:
        return bytes((number & 0x7F | _MORE, number >> 7))
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


_WRITTEN: Final[Mapping[type, Callable[[Any], bytes]]] = {
    bytes: _written_bytes,
    str: _written_text,
    int: _varint,
    bool: _varint,
}
"""How the values of fields are written that are no messages."""


def _decode(
    kind: type[ProtobufMessage], data: bytes, at: int, end: int, depth: int
) -> ProtobufMessage:
    """Return the message in data[at:end]. What it has of unknown fields is not looked into."""
    if not depth:
        raise Malformed("Messages are inside each other too deeply.")
    fields = _by_number(kind)
    values: dict[str, Any] = {}
    while at < end:
        tag, at = _read_varint(data, at, end)
        wire_type = tag & 7
        if wire_type == _VARINT:
            number, at = _read_varint(data, at, end)
            size = 0
        else:
            number = -1
            size, at = _read_size(data, at, end, wire_type)
        field = fields.get(tag >> 3)
        if field is not None:
            value = _value(field.kind, number, data, at, at + size, depth)
            if field.is_repeated:
                values.setdefault(field.name, []).append(value)
            else:
                values[field.name] = value
        at += size
    return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})


def _read_size(data: bytes, at: int, end: int, wire_type: int) -> tuple[int, int]:
    """Return the size of a field's content, and where that begins."""
    if wire_type == _LENGTH:
        size, at = _read_varint(data, at, end)
    elif wire_type in (_FIXED_64, _FIXED_32):
        size = 8 if wire_type == _FIXED_64 else 4
    else:
        raise Malformed(f"There is no wire type {wire_type}.")
    if at + size > end:
        raise Malformed("A field is cut off.")
    return size, at


def _read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and data[at] < _MORE:
        return data[at], at + 1
    number = 0
    for index in range(min(_LONGEST_VARINT, end - at)):
        byte = data[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < _MORE:
            return number, at + index + 1
    raise Malformed("A number is cut off or too long.")


def _value(kind: type, number: int, data: bytes, at: int, end: int, depth: int) -> object:
    """Return the value of a field: `number`, or what is in data[at:end] if that is negative."""
    if (number < 0) is (kind in (int, bool)):
        raise Malformed("A field has another type than expected.")
    if number >= 0:
        return bool(number) if kind is bool else number
    if kind is bytes:
        return data[at:end]
    if kind is not str:
        return _decode(kind, data, at, end, depth - 1)
    try:
        return data[at:end].decode()
    except UnicodeDecodeError as error:
        raise Malformed("A text is not UTF-8.") from error
