"""What the core needs of the place where the unattended key is kept."""

from typing import Protocol


class UnattendedKeyFile(Protocol):
    """A file that no copy of the database holds."""

    content: bytes | None
    """What it holds: 32 bytes while unattended boot is on, nothing once it is off; None: there is
    no file."""

    async def keep(self, content: bytes) -> None:
        """Have it hold this, durably. Raises WriteRefused, StoreUnavailable."""
        ...
