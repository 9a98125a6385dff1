"""What the core needs of the place where update images are kept."""

from typing import Protocol


class UpdateSlot(Protocol):
    """One staged image, and one that is arriving.

    Every method raises Overloaded when the disk refuses, StoreUnavailable when it is out of reach.
    """

    async def begin(self, size: int) -> None:
        """Make ready for an image of at most `size` bytes, in the place of an unfinished one."""
        ...

    async def write(self, data: bytes) -> None:
        """Append a verified piece of at most a MiB."""
        ...

    async def keep(self) -> None:
        """Stage what arrived, in the place of what was staged before."""
        ...

    async def abandon(self) -> None:
        """Drop what arrived."""
        ...

    async def cancel(self) -> None:
        """Remove the staged image; WrongState when there is none."""
        ...

    async def commit(self) -> None:
        """Have the staged image take over; WrongState when there is none, or no way to."""
        ...
