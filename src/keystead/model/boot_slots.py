"""The two boot slots of the appliance: the builder makes them, and process 1 starts from them."""

from enum import Enum
from typing import Final
from uuid import UUID

SLOT_BYTES: Final = 128 * 1024 * 1024
"""The size of a slot's partition: several times an image."""


class BootSlot(Enum):
    """A partition with a boot image. The value is the slot's letter."""

    A = "A"
    B = "B"

    @property
    def other(self) -> "BootSlot":
        """The slot that is not this one."""
        return BootSlot.B if self is BootSlot.A else BootSlot.A

    @property
    def partition_name(self) -> str:
        """The partition's name in the partition table."""
        return f"keystead-boot-{self.value.lower()}"

    @property
    def partition_id(self) -> UUID:
        """The partition's identifier in the partition table: the same one on every disk."""
        return UUID(f"6B657973-7465-4164-8000-00000000000{self.value}")

    @property
    def entry(self) -> int:
        """The number of the slot's boot entry in the firmware."""
        return 0x4B00 + ord(self.value)
