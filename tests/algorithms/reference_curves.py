"""Slow and plain arithmetic on the curves, to check signatures without the libraries under test."""

import hashlib
import json
from dataclasses import dataclass

from tests.algorithms.published_vectors import OURS

Point = tuple[int, int] | None


@dataclass(frozen=True)
class Curve:
    p: int
    a: int
    b: int
    g: Point
    n: int

    @property
    def size(self) -> int:
        return (self.p.bit_length() + 7) // 8

    def add(self, one: Point, other: Point) -> Point:
        if one is None or other is None:
            return one or other
        if one[0] == other[0]:
            if (one[1] + other[1]) % self.p == 0:
                return None
            slope = (3 * one[0] ** 2 + self.a) * pow(2 * one[1], -1, self.p)
        else:
            slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, self.p)
        x = (slope**2 - one[0] - other[0]) % self.p
        return x, (slope * (one[0] - x) - one[1]) % self.p

    def multiply(self, scalar: int, point: Point) -> Point:
        total: Point = None
        while scalar:
            if scalar & 1:
                total = self.add(total, point)
            point = self.add(point, point)
            scalar >>= 1
        return total

    def decode(self, octets: bytes) -> Point:
        """Read an uncompressed point (SEC 1, 2.3.4)."""
        assert octets[0] == 4
        assert len(octets) == 1 + 2 * self.size
        x = int.from_bytes(octets[1 : 1 + self.size])
        y = int.from_bytes(octets[1 + self.size :])
        assert (y**2 - x**3 - self.a * x - self.b) % self.p == 0
        return x, y

    def ecdsa_holds(self, public: Point, digest: bytes, r: int, s: int) -> bool:
        """FIPS 186-5, 6.4.2, for digests no longer than the order."""
        if not (0 < r < self.n and 0 < s < self.n):
            return False
        inverse = pow(s, -1, self.n)
        u = int.from_bytes(digest) * inverse % self.n
        point = self.add(self.multiply(u, self.g), self.multiply(r * inverse % self.n, public))
        return point is not None and point[0] % self.n == r

    def bip340_holds(self, public_x: int, message: bytes, signature: bytes) -> bool:
        """BIP-340, Verification."""
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        square = (pow(public_x, 3, self.p) + 7) % self.p
        y = pow(square, (self.p + 1) // 4, self.p)
        if public_x >= self.p or r >= self.p or s >= self.n or y * y % self.p != square:
            return False
        public = (public_x, y if y % 2 == 0 else self.p - y)
        tag = hashlib.sha256(b"BIP0340/challenge").digest()
        challenge = hashlib.sha256(
            tag + tag + signature[:32] + public_x.to_bytes(32) + message
        ).digest()
        e = int.from_bytes(challenge) % self.n
        point = self.add(self.multiply(s, self.g), self.multiply(self.n - e, public))
        return point is not None and point[1] % 2 == 0 and point[0] == r


def _read(entry: dict[str, str]) -> Curve:
    number = {name: int(digits, 16) for name, digits in entry.items() if name != "source"}
    return Curve(number["p"], number["a"], number["b"], (number["gx"], number["gy"]), number["n"])


CURVES = {
    name: _read(entry) for name, entry in json.loads((OURS / "curves.json").read_text()).items()
}
"""Curves by key type."""
