"""The public half of a stored key on a curve, found in its PKCS #8 without the curve's arithmetic.

PKCS #8 (RFC 5958) has the point beside the scalar (RFC 5915). As `pkcs8_pem` writes it, all keys on
a curve have the same bytes around the two.
"""

import binascii
from collections.abc import Mapping
from functools import cache, cached_property
from struct import Struct
from typing import Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from keystead.algorithms._algorithm import PublicParts

_BEGIN: Final = b"-----BEGIN PRIVATE KEY-----\n"
_END: Final = b"-----END PRIVATE KEY-----\n"
_BEGIN_PUBLIC: Final = b"-----BEGIN PUBLIC KEY-----"
_END_PUBLIC: Final = b"-----END PUBLIC KEY-----\n"
_LINE: Final = 64
"""Characters of a line of PEM (RFC 7468)."""


class ShownPublic(NamedTuple):
    """What a list shows of a key's public half."""

    type_name: str
    parts: PublicParts | None
    """None if the key has no public half."""
    pem: bytes | None
    """SubjectPublicKeyInfo PEM, or None too."""


class _Form(msgspec.Struct, frozen=True):
    """The bytes that all keys on a curve share."""

    type_name: str
    head: bytes
    """Before the scalar."""
    middle: bytes
    """Between the scalar and the point."""
    point_bytes: int
    public_head: bytes
    """Before the point in SubjectPublicKeyInfo."""

    def point(self, der: bytes) -> bytes | None:
        """Return the point of a key with these bytes, or None if they are others."""
        start = len(der) - self.point_bytes
        if der.startswith(self.head) and der.endswith(self.middle, 0, start):
            return der[start:]
        return None


class StoredPoints:
    """Finds the public halves of keys on some curves."""

    def __init__(self, curves: Mapping[str, ec.EllipticCurve]) -> None:
        """Take the curves by the names of their key types."""
        self._curves = curves

    def find(self, pem: bytes) -> ShownPublic | None:
        """Return the public half of a key in PKCS #8, or None if the key has to be parsed for it.

        The PEM was authenticated when it was unsealed, and that the point belongs to the scalar was
        checked when the key came in.
        """
        if not (pem.startswith(_BEGIN) and pem.endswith(_END)):
            return None
        try:
            der = binascii.a2b_base64(pem[len(_BEGIN) : -len(_END)])
        except binascii.Error:
            return None
        form = self._forms.get(len(der))
        point = None if form is None else form.point(der)
        if form is None or point is None:
            return None
        spki = spki_pem_of(form.public_head + point)
        return ShownPublic(form.type_name, PublicParts(data=point), spki)

    @cached_property
    def _forms(self) -> Mapping[int, _Form]:
        """The forms by the length of PKCS #8, which differs from curve to curve."""
        return dict(_form(name, curve) for name, curve in self._curves.items())


def _form(name: str, curve: ec.EllipticCurve) -> tuple[int, _Form]:
    scalar = b"\x01" * ((curve.key_size + 7) // 8)
    key = ec.derive_private_key(int.from_bytes(scalar), curve)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    head, _, rest = der.partition(scalar)
    middle, public_head = rest.removesuffix(point), spki.removesuffix(point)
    return len(der), _Form(name, head, middle, len(point), public_head)


def spki_pem_of(der: bytes) -> bytes:
    """Return SubjectPublicKeyInfo in DER as PEM, as the library writes it."""
    text = binascii.b2a_base64(der, newline=False)
    return b"\n".join([_BEGIN_PUBLIC, *_lines_of(len(text)).unpack(text), _END_PUBLIC])


@cache  # as many entries as key types have lengths
def _lines_of(length: int) -> Struct:
    """Return what cuts a text of this length into lines, faster than slices do."""
    whole, rest = divmod(length, _LINE)
    return Struct(f"{_LINE}s" * whole + (f"{rest}s" if rest else ""))
