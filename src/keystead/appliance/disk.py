"""Makes the disk of the appliance: a boot partition with the image, and an empty data partition."""

import os
from pathlib import Path
from typing import Final

from keystead.appliance.tools import FIXED_SECONDS, run

DATA_PARTITION: Final = "keystead-data"
"""Process 1 finds the partition by this name."""
FORMATS: Final = ("qcow2", "vmdk", "vhdx")

_MIB: Final = 1024 * 1024
_SECTOR: Final = 512
_BLOCK: Final = 4096
_BOOT_START: Final = 1 * _MIB
_BOOT_BYTES: Final = 256 * _MIB
_DATA_START: Final = _BOOT_START + _BOOT_BYTES
_DATA_BYTES: Final = 1024 * _MIB
_DISK_BYTES: Final = _DATA_START + _DATA_BYTES + 1 * _MIB
"""The last MiB has the second copy of the partition table."""

_ESP_TYPE: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_DATA_TYPE: Final = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
# The same in every image, as nothing tells disks apart by them.
_DISK_ID: Final = "6B657973-7465-4164-8000-000000000001"
_BOOT_ID: Final = "6B657973-7465-4164-8000-000000000002"
_DATA_ID: Final = "6B657973-7465-4164-8000-000000000003"
_VOLUME_ID: Final = "4B535444"


def write_disk(image: Path, disk: Path) -> None:
    """Write a raw disk that starts `image` to `disk`, which takes little room where it is empty.

    Raises InvalidInput if a tool is missing or fails.
    """
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    run("sfdisk", "--quiet", disk, given=_table().encode())
    partition = disk.with_suffix(".partition")
    _write_boot_partition(image, partition)
    _put(partition, disk, _BOOT_START)
    _write_data_partition(partition)
    _put(partition, disk, _DATA_START)


def convert(disk: Path, form: str) -> Path:
    """Write the disk in another format beside it, and return the path. Raises InvalidInput."""
    out = disk.with_suffix(f".{form}")
    run("qemu-img", "convert", "-f", "raw", "-O", form, disk, out)
    return out


def _table() -> str:
    boot = (_BOOT_START // _SECTOR, _BOOT_BYTES // _SECTOR)
    data = (_DATA_START // _SECTOR, _DATA_BYTES // _SECTOR)
    return (
        f"label: gpt\nlabel-id: {_DISK_ID}\n"
        f"start={boot[0]}, size={boot[1]}, type={_ESP_TYPE}, uuid={_BOOT_ID}, "
        f'name="keystead-boot"\n'
        f"start={data[0]}, size={data[1]}, type={_DATA_TYPE}, uuid={_DATA_ID}, "
        f'name="{DATA_PARTITION}"\n'
    )


def _write_boot_partition(image: Path, partition: Path) -> None:
    with partition.open("wb") as file:
        file.truncate(_BOOT_BYTES)
    run("mkfs.vfat", "-F", "32", "-i", _VOLUME_ID, "--invariant", partition)
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
