"""What lists show of keys, kept so that a list need not open and parse every key again."""

from collections import OrderedDict
from typing import Final, NamedTuple

from keystead import algorithms
from keystead.algorithms import ShownPublic
from keystead.model.ids import Label, Tag
from keystead.model.keys import NO_LABEL, KeyPath
from keystead.storage.records import ShownRecord

MOST_BYTES: Final = 20 * 1024 * 1024
"""The memory for all summaries: enough for 10,000 keys with RSA-2048, a label and a tag."""
_OBJECT_BYTES: Final = 896
"""The memory that Python needs for a summary besides its numbers, PEM and texts."""
_TEXT_BYTES: Final = 192
"""The memory that Python needs for a text in a set besides its content."""


class PublicSummary(NamedTuple):
    """What a list shows of a key."""

    public: ShownPublic
    mechanisms: tuple[str, ...] = ()
    tags: frozenset[Tag] = frozenset()
    label: Label = NO_LABEL
    operations: int = 0
    """The count of uses in the record."""
    has_certificate: bool = False

    @classmethod
    def of(cls, record: ShownRecord, public: ShownPublic) -> "PublicSummary":
        """Return the summary of a key with this public half."""
        return cls(
            public,
            algorithms.known_mechanisms(record.mechanisms),
            record.tags,
            record.label,
            record.operations,
            record.has_certificate,
        )

    @property
    def weight(self) -> int:
        """About how many bytes of memory the summary takes."""
        parts = self.public.parts
        numbers = () if parts is None else (parts.modulus, parts.public_exponent, parts.data)
        size = sum(len(each or b"") for each in (*numbers, self.public.pem))
        named = (self.label, *self.tags) if self.label else self.tags
        texts = sum(len(text.encode()) + _TEXT_BYTES for text in named)
        return _OBJECT_BYTES + size + texts


class PublicSummaries:
    """A cache. A summary is that of one sealed record, so changes need not be told to it."""

    def __init__(self) -> None:
        self._known: OrderedDict[KeyPath, tuple[bytes, PublicSummary, int]] = OrderedDict()
        self._bytes = 0

    def get(self, path: KeyPath, mark: bytes) -> PublicSummary | None:
        """Return the summary of the key at `path` if its sealed record has this mark.

        `envelope.mark_of` makes marks.
        """
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == mark else None

    def put(self, path: KeyPath, mark: bytes, summary: PublicSummary) -> None:
        """Keep a summary. Those that were put first make room for it."""
        replaced = self._known.pop(path, None)
        if replaced is not None:
            self._bytes -= replaced[2]
        weight = summary.weight
        self._known[path] = (mark, summary, weight)
        self._bytes += weight
        while self._bytes > MOST_BYTES:
            _, (_, _, oldest) = self._known.popitem(last=False)
            self._bytes -= oldest

    def clear(self) -> None:
        """Drop everything."""
        self._known.clear()
        self._bytes = 0
