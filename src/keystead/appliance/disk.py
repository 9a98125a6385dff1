"""Makes the disk of the appliance: two boot slots, the first with the image, and empty data."""

import os
from pathlib import Path
from typing import Final

from keystead.appliance.tools import FIXED_SECONDS, run
from keystead.errors import InvalidInput
from keystead.model.boot_slots import SLOT_BYTES, BootSlot

DATA_PARTITION: Final = "keystead-data"
"""Process 1 finds the partition by this name."""
FORMATS: Final = ("qcow2", "vmdk", "vhdx")

_MIB: Final = 1024 * 1024
_SECTOR: Final = 512
_BLOCK: Final = 4096
_SLOT_STARTS: Final = {BootSlot.A: 1 * _MIB, BootSlot.B: 1 * _MIB + SLOT_BYTES}
DATA_START: Final = _SLOT_STARTS[BootSlot.B] + SLOT_BYTES
"""Where the data partition begins, in bytes."""
_DATA_BYTES: Final = 1024 * _MIB
_DISK_BYTES: Final = DATA_START + _DATA_BYTES + 1 * _MIB
"""The last MiB has the second copy of the partition table."""

_ESP_TYPE: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_DATA_TYPE: Final = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
# The same in every image, as nothing tells disks apart by them.
_DISK_ID: Final = "6B657973-7465-4164-8000-000000000001"
_DATA_ID: Final = "6B657973-7465-4164-8000-000000000003"
_VOLUME_ID: Final = "4B535444"
_LEAST_BOOT_BYTES: Final = 40 * _MIB
"""With fewer clusters, the firmware would take the file system for FAT16."""
_BESIDE_IMAGE_BYTES: Final = 3 * _MIB
"""What the file system needs for itself."""


def write_disk(image: Path, disk: Path) -> None:
    """Write a raw disk that starts `image` to `disk`, which takes little room where it is empty.

    Raises InvalidInput if a tool is missing or fails.
    """
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    run("sfdisk", "--quiet", disk, given=_table().encode())
    partition = disk.with_suffix(".partition")
    write_boot_partition(image, partition)
    _put(partition, disk, _SLOT_STARTS[BootSlot.A])
    _write_data_partition(partition)
    _put(partition, disk, DATA_START)


def convert(disk: Path, form: str) -> Path:
    """Write the disk in another format beside it, and return the path.

    Raises InvalidInput if qemu-img is missing or fails.
    """
    out = disk.with_suffix(f".{form}")
    run("qemu-img", "convert", "-f", "raw", "-O", form, disk, out)
    return out


def _table() -> str:
    slots = "".join(
        f"start={start // _SECTOR}, size={SLOT_BYTES // _SECTOR}, type={_ESP_TYPE}, "
        f'uuid={slot.partition_id}, name="{slot.partition_name}"\n'
        for slot, start in _SLOT_STARTS.items()
    )
    return (
        f"label: gpt\nlabel-id: {_DISK_ID}\n{slots}"
        f"start={DATA_START // _SECTOR}, size={_DATA_BYTES // _SECTOR}, type={_DATA_TYPE}, "
        f'uuid={_DATA_ID}, name="{DATA_PARTITION}"\n'
    )


def write_boot_partition(image: Path, partition: Path) -> None:
    """Write what is in a boot slot that starts `image` to `partition`.

    Raises InvalidInput if that is too large, or a tool is missing or fails.
    """
    needed = -(-image.stat().st_size // _MIB) * _MIB + _BESIDE_IMAGE_BYTES
    if needed > SLOT_BYTES:
        raise InvalidInput(f"{image} does not fit into a boot slot of {SLOT_BYTES} bytes.")
    with partition.open("wb") as file:
        file.truncate(max(needed, _LEAST_BOOT_BYTES))
    run("mkfs.vfat", "-F", "32", "-s", "1", "-i", _VOLUME_ID, "--invariant", partition)
    os.utime(image, (FIXED_SECONDS, FIXED_SECONDS))
    run("mmd", "-i", partition, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-m", "-i", partition, image, "::/EFI/BOOT/BOOTX64.EFI")


def _write_data_partition(partition: Path) -> None:
    same = f"hash_seed={_DATA_ID},lazy_itable_init=0,lazy_journal_init=0"
    made = ("mkfs.ext4", "-q", "-F", "-L", DATA_PARTITION, "-U", _DATA_ID, "-E", same)
    run(*made, "-b", str(_BLOCK), "-m", "0", partition, str(_DATA_BYTES // _BLOCK))


def _put(partition: Path, disk: Path, start: int) -> None:
    where = (f"seek={start // _MIB}", "bs=1M", "conv=notrunc,sparse", "status=none")
    run("dd", f"if={partition}", f"of={disk}", *where)
    partition.unlink()
