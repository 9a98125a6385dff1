"""Options of uses in JSON: the shape of each in a request, and the value that it stands for."""

from functools import cache
from typing import Any, Final

import msgspec
from msgspec.structs import fields

from keystead.algorithms import field_name
from keystead.api.http.long_bodies import DecodeText
from keystead.model.secret import Hidden

_PLAIN: Final = frozenset({bytes, str, int})

_fields: Final = cache(fields)
"""Of a Struct. msgspec evaluates the annotations at each call."""


def shape_of(kind: Any, base64: type) -> type[Any]:  # noqa: ANN401 - as Option.kind
    """Return what JSON has for an option of this kind: of a Struct, an object of its fields.

    Bytes are read as `base64`: str, or bytes if what reads the JSON decodes them.
    """
    if kind in _PLAIN:
        plain: type[Any] = base64 if kind is bytes else kind
        return plain
    members = [(one.name, shape_of(one.type, base64), one.required) for one in _fields(kind)]
    return msgspec.defstruct(
        kind.__name__,
        [
            (name, shape) if is_required else (name, shape | None, None)
            for name, shape, is_required in members
        ],
        bases=(Hidden,),
        namespace={"__doc__": kind.__doc__},
        module=__name__,
        forbid_unknown_fields=True,
        kw_only=True,
        rename="camel",
    )


def value_of(kind: Any, sent: Any, decode: DecodeText, *, name: str) -> Any:  # noqa: ANN401 - as Option.kind
    """Return the value of kind `kind` that `sent` stands for, which fits its shape.

    `decode` reads the base64 of its body. Raises InvalidInput for bad base64; `name` is the name in
    JSON.
    """
    if kind is bytes:
        return decode(sent, name=name)
    if kind in _PLAIN:
        return sent
    values = {
        one.name: value_of(one.type, value, decode, name=f"{name}.{field_name(one.name)}")
        for one in _fields(kind)
        if (value := getattr(sent, one.name)) is not None
    }
    return kind(**values)
