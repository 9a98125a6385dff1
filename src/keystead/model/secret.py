"""A value that guards itself: reviewers search for `reveal()`."""

from typing import Final, NoReturn

import msgspec


class Secret:
    """Bytes that never show themselves: no repr, no equality, no hash, no pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: Final = value

    def reveal(self) -> bytes:
        """Return the bytes. Every call site is a place to review."""
        return self._value

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
