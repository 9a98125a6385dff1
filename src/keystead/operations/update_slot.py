"""The interface between the core and the place that keeps update images."""

from typing import Protocol


class KeepsUpdateImages(Protocol):
    """One staged image, and one image that is arriving.

    Every method raises Overloaded if the disk is full or fails, and StoreUnavailable if the slot
    is out of reach.
    """

    async def begin(self, size: int) -> None:
        """Begin an image of at most `size` bytes. An unfinished one is dropped."""
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
        """Remove the staged image. Raises WrongState if there is none."""
        ...

    async def commit(self) -> None:
        """Install the staged image. Raises WrongState if there is none, or no way to install it."""
        ...
