"""Shamir's secret sharing over GF(256), whose time and memory accesses depend on no secret.

A secret of n bytes is n polynomials over GF(256), whose constant terms are the bytes. A share is
their values at one place x. The field is that of AES (FIPS 197, 4.2): polynomials modulo
x^8 + x^4 + x^3 + x + 1.

Places are public, so the factors of the interpolation are public too. Secret bytes are only added
to each other and multiplied by public factors. Both are done for all bytes at once, as one long
number, by shifts, masks and exclusive or: no branch and no index depends on a secret.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Final

SECRET_PLACE: Final = 0
"""The place at which the polynomials have the secret. No share has it."""
_ORDER: Final = 256
_REDUCTION: Final = 0x1B


def split(secret: bytes, *, threshold: int, shares: int) -> dict[int, bytes]:
    """Return the shares at the places 1 to `shares`, of which `threshold` give the secret.

    Fewer tell nothing about the secret. Raises ValueError unless 1 <= threshold <= shares < 256.
    """
    if not 1 <= threshold <= shares < _ORDER:
        raise ValueError("the threshold is between 1 and the number of shares")
    random = [_number(os.urandom(len(secret))) for _ in range(threshold - 1)]
    terms = [*random, _number(secret)]
    return {
        place: _value(terms, place, len(secret)).to_bytes(len(secret))
        for place in range(1, shares + 1)
    }


def interpolate(values: Mapping[int, bytes], place: int = SECRET_PLACE) -> bytes:
    """Return what the polynomials through `values`, which have equal lengths, have at `place`."""
    (length,) = {len(value) for value in values.values()}
    total = 0
    for mine, value in values.items():
        others = [other for other in values if other != mine]
        total ^= _times(_number(value), _factor(mine, others, place), length)
    return total.to_bytes(length)


def _value(terms: Iterable[int], place: int, length: int) -> int:
    """Return the polynomials' values at a place, by Horner's rule; the highest term is first."""
    total = 0
    for term in terms:
        total = _times(total, place, length) ^ term
    return total


def _factor(mine: int, others: Iterable[int], place: int) -> int:
    """Return Lagrange's factor at `place` for the value at `mine`. All places are public."""
    numerator = denominator = 1
    for other in others:
        numerator = _times(numerator, place ^ other, 1)
        denominator = _times(denominator, mine ^ other, 1)
    return _times(numerator, _inverse(denominator), 1)


def _inverse(public: int) -> int:
    """Return the inverse of a public element other than 0: its power of 254."""
    power = 1
    for _ in range(_ORDER - 2):
        power = _times(power, public, 1)
    return power


def _times(vector: int, factor: int, length: int) -> int:
    """Return each of the vector's `length` bytes multiplied by a public factor."""
    highest_bits = int.from_bytes(b"\x80" * length)
    product = 0
    while factor:
        if factor & 1:
            product ^= vector
        overflowing = vector & highest_bits
        vector = ((vector ^ overflowing) << 1) ^ ((overflowing >> 7) * _REDUCTION)
        factor >>= 1
    return product


def _number(content: bytes) -> int:
    return int.from_bytes(content)
