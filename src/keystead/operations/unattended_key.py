"""The interface between the core and the file that keeps the unattended key."""

from typing import Protocol


class KeepsUnattendedKey(Protocol):
    """The file with the unattended key, outside of the database."""

    content: bytes | None
    """The content of the file: 32 bytes while unattended boot is on, and empty after it was turned
    off. None if there is no file."""

    async def keep(self, content: bytes) -> None:
        """Replace the content durably.

        Raises WriteRefused if the disk refuses it, and StoreUnavailable if the platform is gone.
        """
        ...
