"""What lists show of a public half that is stored beside its private key, which is not parsed."""

import binascii
from collections.abc import Mapping
from typing import Final, NamedTuple

from keystead.algorithms._algorithm import Algorithm, PublicParts
from keystead.algorithms._stored_points import ShownPublic, spki_pem_of

_MARKS: Final = "-----"


class _Form(NamedTuple):
    """What SubjectPublicKeyInfo (RFC 5280) is like for all keys of a type."""

    head: bytes
    """Before the bytes of the key."""
    public_bytes: int


class StoredHalves:
    """Shows public halves that are strings of bytes."""

    def __init__(self, rows: Mapping[str, Algorithm]) -> None:
        """Take the key types by their names."""
        self._rows = rows
        self._forms: dict[str, _Form] = {}

    def show(self, type_name: str, public: bytes) -> ShownPublic | None:
        """Return a public half, or None if no key of this type stores one like it.

        The record was authenticated when it was unsealed. That its two halves belong together is
        checked whenever the key is parsed.
        """
        row = self._rows[type_name]
        if not row.stores_public:
            return None
        form = self._forms.get(type_name)
        if form is None:
            form = self._forms[type_name] = _form(row)
        if len(public) != form.public_bytes:
            return None
        return ShownPublic(type_name, PublicParts(data=public), spki_pem_of(form.head + public))


def _form(row: Algorithm) -> _Form:
    """Return the form of a type, by a new key of it."""
    key = row.generate(None)
    parts = key.public()
    public = b"" if parts is None else parts.data or b""
    text = "".join(line for line in key.public_pem().decode().split("\n") if _MARKS not in line)
    return _Form(binascii.a2b_base64(text).removesuffix(public), len(public))
