"""Brings the machine from its first instruction to the point where the server can start."""

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from keystead.errors import StartRefused
from keystead.model.boot_slots import BootSlot
from keystead.processes.machine import disk_check, kernel
from keystead.processes.machine.firmware import VARIABLES, Firmware, Partition
from keystead.processes.machine.slots import Slots, running_slot

DATA: Final = "/data"
DATA_PARTITION: Final = "keystead-data"
"""The name of the partition for data, in the partition table."""

_MODULES: Final = Path("/usr/lib/modules")
_PCI_DEVICES: Final = Path("/sys/bus/pci/devices")
_BLOCK_DEVICES: Final = Path("/sys/class/block")
_DISK_PATIENCE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1

_HARDENING: Final = (
    # No program can replace the kernel, load code into it, or look into it or into others.
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/yama/ptrace_scope", "3"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/sysrq", "0"),
    ("kernel/core_pattern", "core"),
    ("fs/suid_dumpable", "0"),
    ("user/max_user_namespaces", "0"),
    ("vm/unprivileged_userfaultfd", "0"),
    # The network: nobody else says where packets go. For IPv6, `Interface.bring_up` does it.
    ("net/ipv4/tcp_syncookies", "1"),
    ("net/ipv4/conf/all/accept_redirects", "0"),
    ("net/ipv4/conf/default/accept_redirects", "0"),
    ("net/ipv4/conf/all/secure_redirects", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/all/accept_source_route", "0"),
    ("net/ipv4/icmp_echo_ignore_broadcasts", "1"),
)
_NO_DEVICE: Final = (errno.ENODEV, errno.EEXIST, errno.ENOENT)
"""What loading a driver may fail with. ENOENT: it needs another one that has no device here."""
_LAST: Final = (("kernel/modules_disabled", "1"),)


def prepare() -> list[str]:
    """Mount, load the drivers, wait for entropy and close the kernel.

    Afterwards nothing but the data partition and /run can be written. Return what was repaired on
    the data partition, in lines. Raises OSError if the kernel refuses a step, and StartRefused if
    there is no data partition, or none that can be mounted.
    """
    kernel.mount("proc", "/proc", "proc", kernel.PRIVATE)
    kernel.mount("sysfs", "/sys", "sysfs", kernel.PRIVATE)
    # The firmware's log of what it measured into the TPM is there.
    kernel.mount("securityfs", "/sys/kernel/security", "securityfs", kernel.PRIVATE)
    kernel.mount("devtmpfs", "/dev", "devtmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC)
    kernel.mount("tmpfs", "/run", "tmpfs", kernel.PRIVATE, "mode=0755,size=16m")
    load_drivers()
    remove_drivers()
    os.getrandom(1)  # Waits until the kernel's random numbers are seeded.
    kernel.set_parameters(_HARDENING)
    disk = Path("/dev", wait_for_partition(DATA_PARTITION))
    repaired = disk_check.check(disk)
    disk_check.remove_program()
    mount_data(str(disk))
    kernel.set_parameters(_LAST)
    kernel.mount("", "/", "", kernel.MS_REMOUNT | kernel.MS_RDONLY)
    return repaired


def mount_data(device: str, place: str = DATA) -> None:
    """Mount the data partition. Raises StartRefused if it is damaged."""
    try:
        kernel.mount(device, place, "ext4", kernel.PRIVATE, "errors=panic")
    except OSError as error:
        raise StartRefused(
            f"The data partition cannot be used ({error.strerror}). Repair it on another machine, "
            "with e2fsck, or restore a backup into a new disk."
        ) from error


def drivers(folder: Path, devices: Path) -> Iterator[str]:
    """Yield the drivers to be loaded, in their order: none of PCI devices that are not here."""
    present = [path.read_text() for path in devices.glob("*/modalias")]
    for line in (folder / "order").read_text().splitlines():
        name, *aliases = line.split()
        wanted = [alias.split("*") for alias in aliases]
        if not wanted or any(
            all(part in device for part in parts) for parts in wanted for device in present
        ):
            yield name


def load_drivers(folder: Path = _MODULES, devices: Path = _PCI_DEVICES) -> None:
    """Load the drivers. One without its device is no mistake."""
    for name in drivers(folder, devices):
        try:
            kernel.load_module(folder / name)
        except OSError as error:
            if error.errno not in _NO_DEVICE:
                raise


def remove_drivers(folder: Path = _MODULES) -> None:
    """Remove the files of the drivers, which take memory: none is loaded any more."""
    for path in folder.iterdir():
        path.unlink()


def wait_for_partition(name: str) -> str:
    """Return the device of the partition with this name. Raises StartRefused if none comes up."""
    end = time.monotonic() + _DISK_PATIENCE_SECONDS
    while time.monotonic() < end:
        found = partitions(name)
        if len(found) > 1:
            raise StartRefused(f"Several partitions are called {name}: {', '.join(found)}.")
        if found:
            return found[0]
        time.sleep(_POLL_SECONDS)
    raise StartRefused(f"No disk has a partition called {name}.")


def find_slots() -> Slots:
    """Return the boot slots. Raises OSError or StartRefused if there are none on this machine."""
    kernel.mount("efivarfs", str(VARIABLES), "efivarfs", kernel.PRIVATE)
    firmware = Firmware()
    running = running_slot(firmware)
    if running is None:
        raise StartRefused("The firmware does not say which slot it has started.")
    partitions = {slot: slot_partition(slot) for slot in BootSlot}
    return Slots(running, firmware, partitions, Path(DATA, "trial"))


def slot_partition(slot: BootSlot, devices: Path = _BLOCK_DEVICES) -> Partition:
    """Return the partition of a boot slot. Raises StartRefused if there is not just one."""
    found = partitions(slot.partition_name, devices)
    if len(found) != 1:
        raise StartRefused(f"{len(found)} partitions are called {slot.partition_name}, not one.")
    number, start, size = (
        int((devices / found[0] / name).read_text()) for name in ("partition", "start", "size")
    )
    return Partition(Path("/dev", found[0]), number, start, size, slot.partition_id)


def partitions(name: str, devices: Path = _BLOCK_DEVICES) -> list[str]:
    """Return the devices of the partitions with this name."""
    return sorted(
        device.name
        for device in devices.iterdir()
        if f"PARTNAME={name}" in _lines(device / "uevent")
    )


def _lines(path: Path) -> Iterable[str]:
    with suppress(OSError):  # The device is gone again.
        return path.read_text().splitlines()
    return ()


def finish() -> None:
    """Write everything to the disk and unmount it."""
    os.sync()
    with suppress(OSError):  # Busy, or never mounted. What is synced is safe.
        kernel.unmount(DATA)
