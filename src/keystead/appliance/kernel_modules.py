"""Which drivers the appliance has, and in which order the kernel takes them."""

import lzma
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from keystead.appliance.debian import Package

DRIVERS: Final = (
    # Virtual machines of KVM, Xen, VMware, VirtualBox and Hyper-V: bus, disk, network.
    *("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_rng"),
    *("xen_blkfront", "xen_netfront"),
    *("vmw_pvscsi", "vmxnet3"),
    *("hv_storvsc", "hv_netvsc"),
    *("ahci", "ata_piix", "mptspi", "nvme", "sd_mod", "e1000", "e1000e"),
    # The file system of the data partition, and the firmware's variables.
    *("ext4", "crc32c_generic", "efivarfs"),
    # Virtual LANs, which an Administrator may want later, when no driver can be loaded any more.
    "8021q",
    # The power button.
    *("button", "evdev"),
)

_PCI: Final = b"pci:"
_ALIAS: Final = re.compile(rb"(?:^|\0)alias=([^\0]*)")
_DEPENDS: Final = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")


def name_of(file_name: str) -> str:
    """Return the name of a module as the kernel knows it, from that of its file."""
    return file_name.removesuffix(".ko").replace("-", "_")


def modules_of(package: Package) -> Iterator[tuple[str, tuple[bytes, str]]]:
    """Yield the drivers of a kernel's package, unpacked: the name, and the file with its origin."""
    for path, data in package.files.items():
        name = PurePosixPath(path).name
        if name.endswith(".ko"):
            yield name_of(name), (data, package.origin)
        elif name.endswith(".ko.xz"):
            yield name_of(name.removesuffix(".xz")), (lzma.decompress(data), package.origin)


def built_in(package: Package) -> Iterator[str]:
    """Yield the names of the drivers that the kernel of a package has in itself."""
    for path, data in package.files.items():
        if PurePosixPath(path).name == "modules.builtin":
            yield from (name_of(PurePosixPath(line).name) for line in data.decode().splitlines())


def load_order(wanted: Iterable[str], modules: Mapping[str, bytes]) -> list[str]:
    """Return the names of the wanted modules and of those that they need, the needed ones first.

    `modules` are the files of all modules. Raises KeyError if a module is not among them.
    """
    ordered: dict[str, None] = {}
    for name in wanted:
        _add(name, modules, ordered)
    return list(ordered)


def pci_aliases(wanted: Iterable[str], modules: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Return, for each module of `load_order`, which PCI devices it is loaded for.

    Nothing stands for a module that is loaded always: its devices are on another bus, or it has
    none.
    """
    found: dict[str, set[str]] = {}
    always: set[str] = set()
    for name in wanted:
        aliases = [alias for alias in _ALIAS.findall(modules[name]) if alias.startswith(_PCI)]
        for needed in load_order([name], modules):
            found.setdefault(needed, set()).update(alias.decode() for alias in aliases)
            if not aliases:
                always.add(needed)
    return {name: [] if name in always else sorted(found[name]) for name in found}


def _add(name: str, modules: Mapping[str, bytes], ordered: dict[str, None]) -> None:
    if name in ordered:
        return
    for needed in _needs(modules[name]):
        _add(needed, modules, ordered)
    ordered[name] = None


def _needs(module: bytes) -> list[str]:
    found = _DEPENDS.search(module)
    names = found[1].decode() if found else ""
    return [name_of(name) for name in names.split(",") if name]
