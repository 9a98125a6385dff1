"""A value that guards itself: reviewers search for `reveal()`."""

import ctypes
from typing import Final, NoReturn

import msgspec

_HEADER_BYTES: Final = bytes.__basicsize__ - 1
"""Before the contents of a bytes object of CPython, whose basic size counts the final zero."""
_SHARED_LENGTH: Final = 1
"""CPython has one object for all equal bytes of up to this length."""


class Secret:
    """Bytes that never show themselves: no repr, no equality, no hash, no pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: Final = value

    def reveal(self) -> bytes:
        """Return the bytes. Every call site is a place to review."""
        return self._value

    def copy(self) -> "Secret":
        """Return another Secret of the same bytes, which the wiping of this one leaves alone."""
        return Secret(bytes(bytearray(self._value)))

    def wipe(self) -> None:
        """Overwrite the bytes where they are: here, and in what `reveal` has returned.

        For a key that nobody else holds. What was made from it elsewhere in memory stays.
        """
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
