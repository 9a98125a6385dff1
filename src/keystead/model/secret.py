"""A secret value that never shows itself. Reviewers search for `reveal()`."""

import ctypes
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar, cast

import msgspec

_HEADER_BYTES: Final = bytes.__basicsize__ - 1
"""The offset of the content in a bytes object of CPython. Its basic size includes a final zero."""
_SHARED_LENGTH: Final = 1
"""Up to this length, CPython shares one object for all equal bytes."""

Made = TypeVar("Made")


class Secret:
    """Bytes that never show themselves: no repr, no equality, no hash, no pickle."""

    __slots__ = ("_kept", "_value")

    def __init__(self, value: bytes) -> None:
        self._value: Final = value
        self._kept: dict[Callable[[bytes], object], object] | None = None

    def reveal(self) -> bytes:
        """Return the bytes. Every call site is a place to review."""
        return self._value

    def kept(self, make: Callable[[bytes], Made]) -> Made:
        """Return `make(bytes)`, which is made once and kept until the bytes are wiped.

        `make` returns an object of the library that overwrites its memory when it is dropped, as
        those of OpenSSL do, and callers do not keep it.
        """
        if self._kept is None:
            self._kept = {}
        found = self._kept.get(make)
        if found is None:
            found = self._kept[make] = make(self._value)
        return cast("Made", found)

    def copy(self) -> "Secret":
        """Return an independent Secret with the same bytes. Wiping this one does not change it."""
        return Secret(bytes(bytearray(self._value)))

    def wipe(self) -> None:
        """Overwrite the bytes in place, also in what `reveal` has returned.

        Use it for a key that no other code holds. What was `kept` of them is dropped. Copies
        elsewhere in memory stay.
        """
        self._kept = None
        if len(self._value) > _SHARED_LENGTH:
            ctypes.memset(id(self._value) + _HEADER_BYTES, 0, len(self._value))

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("compare secrets with hmac.compare_digest")

    def __hash__(self) -> NoReturn:
        raise TypeError("a secret is not a dictionary key")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")


class Hidden(msgspec.Struct):
    """A shape of data that may be secret: it never shows its fields."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
