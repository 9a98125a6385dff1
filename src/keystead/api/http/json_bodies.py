"""Decodes JSON of clients into typed values. The JSON must fit a shape exactly.

A name that comes twice in an object is refused at every depth, because RFC 8259 does not say which
of the two counts. A filter in front of the server must not read another request than the server
does.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from operator import ne
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import msgspec.inspect
from msgspec import NODEFAULT, UNSET
from msgspec.structs import astuple

from keystead.errors import InvalidInput

Shape = TypeVar("Shape")


class _Reader(NamedTuple):
    decode: Any
    """Decodes bytes into the shape. A stored bound method is faster than a lookup."""
    quoted_names: tuple[bytes, ...]
    """The names of the shape's fields, at every depth."""
    is_open: bool
    """Whether a fitting body can have other names than these."""
    names_sent: Callable[[Any], int]
    """Returns at most the number of names in the body that a value was decoded from."""


@cache  # as many entries as there are shapes in the code
def _reader(shape: type) -> _Reader:
    schema = msgspec.json.schema(shape)
    quoted = tuple(f'"{name}"'.encode() for name in sorted(_names(schema)))
    return _Reader(
        msgspec.json.Decoder(shape).decode,
        quoted,
        _is_open(schema),
        _counting(msgspec.inspect.type_info(shape)),
    )


def _counting(kind: msgspec.inspect.Type) -> Callable[[Any], int]:
    """Return what counts the names in a body, or fewer, by the value decoded from it."""
    if not isinstance(kind, msgspec.inspect.StructType):
        return _no_names
    if all(default in _ABSENT for default in kind.cls.__struct_defaults__):
        return _names_sent
    defaults = _defaults(kind.cls)
    if defaults != _defaults(kind.cls):
        return _no_names
    # A field without a default differs from NODEFAULT.
    return lambda decoded: sum(map(ne, astuple(decoded), defaults))


def _defaults(shape: type[msgspec.Struct]) -> tuple[object, ...]:
    return tuple(
        one.default if one.default_factory is NODEFAULT else one.default_factory()
        for one in msgspec.structs.fields(shape)
    )


def _names_sent(decoded: msgspec.Struct) -> int:
    """Return the number of fields whose value is not that of a missing name."""
    values = astuple(decoded)
    return len(values) - values.count(None) - values.count(UNSET)


def _no_names(_: object) -> int:
    return 0


def _names(schema: object) -> set[str]:
    """Return the names of all fields that a JSON Schema describes."""
    if isinstance(schema, list):
        return {name for part in schema for name in _names(part)}
    if not isinstance(schema, dict):
        return set()
    inner = {name for part in schema.values() for name in _names(part)}
    return inner.union(schema.get("properties", ()))


def _is_open(schema: object) -> bool:
    """Return whether a JSON Schema lets an object have names that it does not give."""
    if isinstance(schema, list):
        return any(_is_open(part) for part in schema)
    if not isinstance(schema, dict):
        return False
    fits_all = not schema.keys() - {"title", "description", "examples", "default"}
    is_map = schema.get("type") == "object" and schema.get("additionalProperties") is not False
    is_list = schema.get("type") == "array" and not schema.keys() & {"items", "prefixItems"}
    return fits_all or is_map or is_list or any(_is_open(part) for part in schema.values())


_ABSENT: Final = (None, UNSET, NODEFAULT)
"""The defaults of fields that show by another value that the body has their name."""
_QUOTED_VALUE: Final = re.compile(r"^Invalid enum value .*?(?= - at `[^`]*`$|$)", re.DOTALL)


def decode_json(data: bytes, shape: type[Shape]) -> Shape:
    """Return `data` as a `shape`. Raises InvalidInput, which says what does not fit and where."""
    decode, quoted_names, is_open, names_sent = _reader(shape)  # type: ignore[arg-type]  # a type can be hashed
    try:
        decoded: Shape = decode(data)
    except msgspec.ValidationError as error:
        # Without the value, which may be a passphrase in the wrong field.
        problem = _QUOTED_VALUE.sub("Invalid enum value", str(error))
        raise InvalidInput(f"Invalid data for JSON schema: {problem}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"Invalid JSON: {error}.") from None
    # Each name has a colon. If the names that came take all colons, no name came twice. To split
    # takes a third of the time that counting takes.
    names = names_sent(decoded)
    if len(data.split(b":", names + 1)) <= names + 1:
        return decoded
    # Unless the shape is open it has no names but these. They are looked for as strings anywhere:
    # that takes a fraction of the time to parse it again. With escapes, a name can be spelled in
    # many ways.
    if is_open or b"\\" in data or max(map(data.count, quoted_names), default=0) > 1:
        _require_single_names(data)
    return decoded


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
