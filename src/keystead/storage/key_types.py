"""The types of stored keys, found without parsing each of them."""

import binascii
from typing import Final

from keystead import algorithms
from keystead.model.keys import PrivateMaterial

MOST_KNOWN: Final = 64
"""Algorithm identifiers that are kept. The key types have about twenty."""
_BEGIN: Final = b"-----BEGIN PRIVATE KEY-----\n"
_LINE: Final = 64
"""Characters of a line of PEM (RFC 7468)."""
_VERSION_AND_SEQUENCE: Final = b"\x02\x01\x00\x30"
"""What PKCS #8 has before the length and the content of an algorithm identifier."""


class KeyTypes:
    """The names of key types by the algorithm identifiers of private keys seen so far."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def of(self, material: PrivateMaterial) -> str:
        """Return the name of a key's type. Raises CorruptRecord if the key does not parse.

        Keys whose algorithm identifier is known are not parsed.
        """
        identifier = b"" if material.pem is None else _identifier(material.pem)
        known = self._known.get(identifier)
        if known is not None:
            return known
        name = algorithms.load(material).algorithm.name
        if identifier and len(self._known) < MOST_KNOWN:
            self._known[identifier] = name
        return name


def _identifier(pem: bytes) -> bytes:
    """Return the algorithm identifier in PKCS #8 (RFC 5958), or b"" if it is not found at once."""
    if not pem.startswith(_BEGIN):
        return b""
    try:
        start = binascii.a2b_base64(pem[len(_BEGIN) : len(_BEGIN) + _LINE])
    except binascii.Error:
        return b""
    _, found, rest = start.partition(_VERSION_AND_SEQUENCE)
    if not found or not rest or len(rest) <= rest[0]:
        return b""
    return rest[: 1 + rest[0]]
