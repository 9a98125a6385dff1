"""Looks for secrets in bytes, in every encoding that code could have put them in by mistake."""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LINE_BREAKS = re.compile(rb"\\\\?[nr]|[\r\n]")
"""As they are, and as JSON and Python write them: base64 in a PEM has one every 64 characters."""
NOTHING = re.compile(rb"\0{64,}")
"""Empty pages of a database, which would be most of what is searched."""
SHORTEST_SECRET = 8
"""Bytes; anything shorter is found by chance."""


def encodings(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """The secret in every encoding that is searched for, each with its name."""
    yield "raw", secret
    yield "reversed", secret[::-1]
    for order, value in (("", secret), ("reversed ", secret[::-1])):
        yield f"{order}hex", value.hex().encode()
        yield f"{order}upper-case hex", value.hex().upper().encode()
    yield "hex with colons", secret.hex(":").encode()
    for shift in range(3):
        padded = base64.b64encode(bytes(shift) + secret)
        # Only the characters that depend on nothing before or after the secret.
        first, last = -(-shift * 8 // 6), (shift + len(secret)) * 8 // 6
        inner = padded[first:last]
        yield f"base64 after {shift}", inner
        yield f"URL-safe base64 after {shift}", inner.translate(bytes.maketrans(b"+/", b"-_"))
    yield "decimal", str(int.from_bytes(secret)).encode()
    yield "Python literal", repr(secret)[2:-1].encode()


@dataclass
class Secrets:
    """What must not be found anywhere, by name."""

    values: dict[str, bytes] = field(default_factory=dict, repr=False)
    _patterns: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict, repr=False)

    def add(self, name: str, value: bytes | str | int) -> None:
        if isinstance(value, int):
            value = value.to_bytes((value.bit_length() + 7) // 8)
        if isinstance(value, str):
            value = value.encode()
        assert len(value) >= SHORTEST_SECRET, f"{name} is too short to be told from chance"
        self.values[name] = value
        self._patterns[name] = list(encodings(value))

    def forget(self, name: str) -> None:
        del self.values[name], self._patterns[name]

    def add_pem(self, name: str, pem: bytes) -> None:
        """What is between the lines of a PEM."""
        lines = re.sub(rb"-----[^-]*-----", b"", pem).split()
        self.add(f"{name}, DER", base64.b64decode(b"".join(lines)))

    def found_in(self, data: bytes, *, but: Iterable[str] = ()) -> list[str]:
        """What of them is in `data`, and in which encoding."""
        excepted = set(but)
        data = NOTHING.sub(bytes(64), data)
        unbroken = LINE_BREAKS.sub(b"", data)
        return [
            f"{name} ({encoding})"
            for name, patterns in self._patterns.items()
            if name not in excepted
            for encoding, pattern in patterns
            if pattern in data or pattern in unbroken
        ]
