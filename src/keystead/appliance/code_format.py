"""Writes code objects in the format of .pyc files, each constant once (Python/marshal.c).

Python itself writes a repeated constant once too, but marks constants by how often they are
referred to at the moment, which differs from one build to the next. What is written here depends on
the code alone.
"""

import marshal
from collections import Counter
from collections.abc import Iterator
from types import CodeType
from typing import Final, NamedTuple

WITHOUT_REFERENCES: Final = 2
"""The last version of the format in which every constant stands where it is used."""

_LENGTH: Final = 4
_SMALL: Final = 256
_REFERENCE: Final = b"r"
_REFERRED_TO: Final = 0x80
"""Marks the type of a value that is referred to later, by its number among those marked."""

_CODE: Final = ord("c")
_LONG: Final = ord("l")
_TUPLE: Final = ord("(")
_SMALL_TUPLE: Final = ord(")")
_FROZENSET: Final = ord(">")
_BYTES: Final = ord("s")
_TEXT: Final = ord("u")
_NAME: Final = ord("t")
"""Text that Python keeps once for all modules."""
_ASCII: Final = {_TEXT: (ord("z"), ord("a")), _NAME: (ord("Z"), ord("A"))}
"""The types for short and for long text of one byte for each character."""
_SIZES: Final = {**dict.fromkeys(b"NTF.", 0), ord("i"): 4, ord("g"): 8, ord("y"): 16}
"""The sizes of values of one size: None, True, False, Ellipsis, and numbers."""
_NEVER_SHARED: Final = frozenset(b"NTF.ic")
"""The types of which a reference saves nothing, and code."""

# Of code, in the format's order: numbers, values, the number of the first line, values.
_FIRST_NUMBERS: Final = 5 * _LENGTH
_FIRST_VALUES: Final = 8
_LAST_VALUES: Final = 2


class _Value(NamedTuple):
    kind: int
    data: bytes
    """What is no value of its own: of a container, nothing."""
    parts: "tuple[_Value, ...]" = ()


def code_bytes(code: CodeType) -> bytes:
    """Return what `marshal.loads` makes the same code of.

    Raises ValueError if a constant is of a type that no source has.
    """
    value = _Reader(marshal.dumps(code, WITHOUT_REFERENCES)).value()
    return b"".join(_Writer(value).pieces(value))


class _Reader:
    """Reads what Python has written without references."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def value(self) -> _Value:
        """Return the next value. Raises ValueError if it is of a type that no source has."""
        (kind,) = self._take(1)
        if kind in _SIZES:
            return _Value(kind, self._take(_SIZES[kind]))
        if kind == _CODE:
            numbers = self._take(_FIRST_NUMBERS)
            parts = self._values(_FIRST_VALUES)
            return _Value(kind, numbers + self._take(_LENGTH), parts + self._values(_LAST_VALUES))
        length = self._take(_LENGTH)
        number = int.from_bytes(length, "little", signed=True)
        if kind in {_TUPLE, _FROZENSET}:
            return _Value(kind, b"", self._values(number))
        if kind == _LONG:  # Of digits of 15 bits; the sign is that of their number.
            return _Value(kind, length + self._take(2 * abs(number)))
        if kind in {_BYTES, _TEXT, _NAME}:
            return _Value(kind, self._take(number))
        raise ValueError(f"a value of the type {chr(kind)!r}")

    def _values(self, number: int) -> tuple[_Value, ...]:
        return tuple(self.value() for _ in range(number))

    def _take(self, size: int) -> bytes:
        taken, self._data = bytes(self._data[:size]), self._data[size:]
        return taken


class _Writer:
    """Writes a value, and in it each equal part once."""

    def __init__(self, value: _Value) -> None:
        self._uses = Counter[_Value]()
        self._count(value)
        self._numbers: dict[_Value, int] = {}

    def _count(self, value: _Value) -> None:
        self._uses[value] += 1
        if self._uses[value] == 1 or value.kind == _CODE:
            for part in value.parts:
                self._count(part)

    def pieces(self, value: _Value) -> Iterator[bytes]:
        """Yield the value in pieces."""
        if value in self._numbers:
            yield _REFERENCE + _length(self._numbers[value])
            return
        kind, head = _head(value)
        if self._uses[value] > 1 and value.kind not in _NEVER_SHARED:
            self._numbers[value] = len(self._numbers)
            kind |= _REFERRED_TO
        yield bytes([kind]) + head
        if value.kind != _CODE:
            for part in value.parts:
                yield from self.pieces(part)
            return
        for part in value.parts[:_FIRST_VALUES]:
            yield from self.pieces(part)
        yield value.data[_FIRST_NUMBERS:]
        for part in value.parts[_FIRST_VALUES:]:
            yield from self.pieces(part)


def _head(value: _Value) -> tuple[int, bytes]:
    """Return the type, and what stands before the parts of a value."""
    kind, data, parts = value
    if kind == _CODE:
        return kind, data[:_FIRST_NUMBERS]
    if kind == _TUPLE and len(parts) < _SMALL:
        return _SMALL_TUPLE, bytes([len(parts)])
    if kind in {_TUPLE, _FROZENSET}:
        return kind, _length(len(parts))
    if kind not in {_BYTES, *_ASCII}:
        return kind, data
    if kind == _BYTES or not data.isascii():
        return kind, _length(len(data)) + data
    short, long = _ASCII[kind]
    return (
        (short, bytes([len(data)]) + data)
        if len(data) < _SMALL
        else (long, _length(len(data)) + data)
    )


def _length(number: int) -> bytes:
    return number.to_bytes(_LENGTH, "little")
