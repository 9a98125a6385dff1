"""What is public of keys, kept so that a list need not parse every private key again."""

from collections import OrderedDict
from typing import Final, NamedTuple

from keystead.algorithms import PublicParts
from keystead.model.keys import KeyPath
from keystead.storage.key_cache import StoredKey

MOST_BYTES: Final = 16 * 1024 * 1024
"""The memory for all summaries: enough for about 10,000 keys with RSA-2048."""
_OBJECT_BYTES: Final = 512
"""The memory that Python needs for a summary besides its numbers and its PEM."""


class PublicSummary(NamedTuple):
    """What is public of a key, besides its record."""

    type_name: str
    public: PublicParts | None
    pem: bytes | None
    """SubjectPublicKeyInfo PEM. None if the key has no public half."""

    @classmethod
    def of(cls, key: StoredKey) -> "PublicSummary":
        """Return the summary of a parsed key."""
        half = key.public_half(None)
        public = half.public()
        return cls(key.algorithm.name, public, None if public is None else half.public_pem())

    @property
    def weight(self) -> int:
        """About how many bytes of memory the summary takes."""
        public = self.public
        numbers = () if public is None else (public.modulus, public.public_exponent, public.data)
        return _OBJECT_BYTES + sum(len(each or b"") for each in (*numbers, self.pem))


class PublicSummaries:
    """A cache. A summary is that of one revision of a key, so changes need not be told to it."""

    def __init__(self) -> None:
        self._known: OrderedDict[KeyPath, tuple[int, PublicSummary]] = OrderedDict()
        self._bytes = 0

    def get(self, path: KeyPath, revision: int) -> PublicSummary | None:
        """Return the summary of the key at `path` if it is that of this revision."""
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == revision else None

    def put(self, path: KeyPath, revision: int, summary: PublicSummary) -> None:
        """Keep a summary. Those that were put first make room for it."""
        replaced = self._known.pop(path, None)
        if replaced is not None:
            self._bytes -= replaced[1].weight
        self._known[path] = (revision, summary)
        self._bytes += summary.weight
        while self._bytes > MOST_BYTES:
            _, (_, oldest) = self._known.popitem(last=False)
            self._bytes -= oldest.weight

    def clear(self) -> None:
        """Drop everything."""
        self._known.clear()
        self._bytes = 0
