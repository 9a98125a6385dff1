"""JSON that clients send, as typed values: what fits a shape exactly, with one way to read it.

A name that comes twice is refused at every depth (RFC 8259 leaves open which of the two counts):
whoever inspects requests on their way must not see another one than we do.
"""

import json
import re
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from keystead.errors import InvalidInput

Shape = TypeVar("Shape")

LONG_BODY_BYTES: Final = 1024 * 1024
"""Bodies beyond it hold one long string, a message."""
MOST_SHORT_STRINGS: Final = 64
"""In a long body; it has three fields."""
LONGEST_NAME_BYTES: Final = 64


class _Reader(NamedTuple):
    decode: Any
    """Returns bytes as the shape; a bound method is faster to call than to look up."""
    quoted_names: tuple[bytes, ...]
    """Of the shape's fields and of those inside of them."""


@cache  # as many entries as there are shapes in the code
def _reader(shape: type) -> _Reader:
    names = sorted(_names(msgspec.json.schema(shape)))
    quoted = tuple(f'"{name}"'.encode() for name in names)
    return _Reader(msgspec.json.Decoder(shape).decode, quoted)


def _names(schema: object) -> set[str]:
    """Return the names of all fields that a JSON Schema describes."""
    if isinstance(schema, list):
        return {name for part in schema for name in _names(part)}
    if not isinstance(schema, dict):
        return set()
    inner = {name for part in schema.values() for name in _names(part)}
    return inner.union(schema.get("properties", ()))


_QUOTED_VALUE: Final = re.compile(r"^Invalid enum value .*?(?= - at `[^`]*`$|$)", re.DOTALL)


def decode_json(data: bytes, shape: type[Shape]) -> Shape:
    """Return `data` as a `shape`; InvalidInput says what does not fit, and where."""
    decode, quoted_names = _reader(shape)  # type: ignore[arg-type]  # a type can be hashed
    try:
        decoded: Shape = decode(data)
    except msgspec.ValidationError as error:
        # Without the value, which may be a passphrase in the wrong field.
        problem = _QUOTED_VALUE.sub("Invalid enum value", str(error))
        raise InvalidInput(f"Invalid data for JSON schema: {problem}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"Invalid JSON: {error}.") from None
    # It fits, so it has no names but these. They are looked for as strings anywhere: that takes a
    # fraction of the time to parse it again. With escapes, a name can be spelled in many ways.
    if len(data) > LONG_BODY_BYTES:
        _look_at_long_body(data)
    elif b"\\" in data:
        _require_single_names(data)
    else:
        for name in quoted_names:
            if data.count(name) > 1:
                _require_single_names(data)
                break
    return decoded


def _look_at_long_body(data: bytes) -> None:
    """Refuse repeated names without parsing it again: only its short strings can be names."""
    strings: list[bytes] = []
    start = data.find(b'"')
    while start >= 0:
        end = data.find(b'"', start + 1)
        if end - start <= LONGEST_NAME_BYTES:
            strings.append(data[start:end])
        if len(strings) > MOST_SHORT_STRINGS:
            raise InvalidInput("Invalid JSON: too many strings in a long body.")
        start = data.find(b'"', end + 1)
    if b"\\" in data or len(set(strings)) < len(strings):
        _require_single_names(data)


def _require_single_names(data: bytes) -> None:
    try:
        json.loads(data, object_pairs_hook=_check_pairs)
    except (ValueError, RecursionError) as error:  # Another limit than the decoder's.
        raise InvalidInput(f"Invalid JSON: {error}.") from None


def _check_pairs(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise InvalidInput(f"Invalid JSON: {name} comes twice.")
        seen.add(name)
