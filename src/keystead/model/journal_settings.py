"""What the journal records, and what happens if it is full."""

from typing import Annotated, Final, Literal

import msgspec

MIN_BYTES: Final = 64 * 1024
MAX_BYTES: Final = 2**40
DEFAULT_BYTES: Final = 256 * 2**20
"""About a million entries."""


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """GET and PUT /config/journal."""

    uses: Literal["off", "counted", "each"] = "counted"
    """Whether uses of keys get entries: none, one for equal uses of ten seconds, or one each."""
    when_full: Literal["refuse", "overwrite"] = "overwrite"
    """Whether a full journal refuses changes and uses of keys, or loses its oldest entries."""
    max_bytes: Annotated[int, msgspec.Meta(ge=MIN_BYTES, le=MAX_BYTES)] = DEFAULT_BYTES
    """The size from which on the journal is full."""


DEFAULT_JOURNAL: Final = JournalSettings()
