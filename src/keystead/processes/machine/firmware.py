"""The firmware's boot entries: what it starts next, and what it starts as a rule.

They are variables of the firmware (UEFI 2.10, chapter 3). Each is a file of efivarfs: its
attributes (4 bytes), then its value. The kernel takes a file's content by one write, and the
firmware changes a variable whole or not at all.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

VARIABLES: Final = Path("/sys/firmware/efi/efivars")
IMAGE_PATH: Final = r"\EFI\BOOT\BOOTX64.EFI"

_GLOBAL: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_BOOT_LOADER: Final = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""The owner of variables in which the stub of the image says how it was started."""
_KEPT: Final = (7).to_bytes(4, "little")
"""The attributes: not volatile, and accessible before and after the start of the kernel."""
_ATTRIBUTE_BYTES: Final = len(_KEPT)

_ACTIVE: Final = 1
_HARD_DRIVE: Final = struct.Struct("<BBHIQQ16sBB")
_MEDIA, _PARTITION, _FILE = 4, 1, 4
_GPT, _BY_ID = 2, 2
_END: Final = bytes.fromhex("7fff0400")


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a disk. Places are in sectors of 512 bytes."""

    device: Path
    number: int
    start: int
    size: int
    identifier: UUID


class Firmware:
    """The variables in a mounted efivarfs. Every method raises OSError if the firmware refuses."""

    def __init__(self, folder: Path = VARIABLES) -> None:
        self._folder = folder

    def started_from(self) -> UUID | None:
        """Return the identifier of the partition with the running image, None if it is unknown."""
        value = self._read("LoaderDevicePartUUID", _BOOT_LOADER)
        try:
            return None if value is None else UUID(value.decode("utf-16-le").rstrip("\0"))
        except ValueError:
            return None

    def order(self) -> list[int]:
        """Return the numbers of the entries that are tried in turn at an ordinary start."""
        value = self._read("BootOrder") or b""
        return [number for (number,) in struct.iter_unpack("<H", value[: len(value) // 2 * 2])]

    def set_order(self, numbers: Sequence[int]) -> None:
        """Choose the entries of ordinary starts, if they are not chosen already."""
        self._write("BootOrder", struct.pack(f"<{len(numbers)}H", *numbers))

    def set_next(self, number: int) -> None:
        """Choose the entry of the next start alone. The firmware forgets it before it tries it."""
        self._write("BootNext", struct.pack("<H", number))

    def set_entry(self, number: int, name: str, partition: Partition) -> None:
        """Let an entry stand for the boot image on a partition."""
        path = _device_path(partition)
        head = struct.pack("<IH", _ACTIVE, len(path))
        self._write(f"Boot{number:04X}", head + _text(name) + path)

    def _read(self, name: str, owner: str = _GLOBAL) -> bytes | None:
        try:
            return (self._folder / f"{name}-{owner}").read_bytes()[_ATTRIBUTE_BYTES:]
        except FileNotFoundError:
            return None

    def _write(self, name: str, value: bytes) -> None:
        if self._read(name) == value:
            return  # The memory of variables wears out.
        with (self._folder / f"{name}-{_GLOBAL}").open("wb", buffering=0) as file:
            file.write(_KEPT + value)


def _device_path(partition: Partition) -> bytes:
    drive = _HARD_DRIVE.pack(
        *(_MEDIA, _PARTITION, _HARD_DRIVE.size),
        *(partition.number, partition.start, partition.size, partition.identifier.bytes_le),
        *(_GPT, _BY_ID),
    )
    file = _text(IMAGE_PATH)
    return drive + struct.pack("<BBH", _MEDIA, _FILE, 4 + len(file)) + file + _END


def _text(text: str) -> bytes:
    return f"{text}\0".encode("utf-16-le")
