"""Builds the appliance, from packages to disks."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keystead import __version__
from keystead.appliance import content, debian, disk, initramfs, uki
from keystead.appliance.debian import Package
from keystead.appliance.secure_boot import SigningKeys
from keystead.errors import InvalidInput

STUB: Final = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
"""What the firmware starts first. It hands the other parts of the image to the kernel."""

IMAGE: Final = "keystead.efi"
DISK: Final = "keystead.raw"
CONTENTS: Final = "contents.json"


def build(out: Path, *, keys: SigningKeys | None, formats: Sequence[str]) -> list[Path]:
    """Build everything into the new folder `out`, and return the files.

    Without `keys` nothing is signed, and Secure Boot starts it nowhere. Raises InvalidInput if a
    package or a tool is missing, or the folder is there already.
    """
    try:
        out.mkdir()
    except OSError as error:
        raise InvalidInput(f"{out}: {error.strerror}.") from error
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        packages = _packages(folder)
        _write_image(packages, folder, out)
    image, raw = out / IMAGE, out / DISK
    if keys is not None:
        uki.sign(image, key=keys.key, certificate=keys.certificate)
    disk.write_disk(image, raw)
    return [image, out / CONTENTS, raw, *(disk.convert(raw, form) for form in formats)]


def _packages(folder: Path) -> list[Package]:
    files = debian.fetch(debian.package_names(), folder)
    return [debian.read_package(path) for path in files]


def _write_image(packages: Sequence[Package], folder: Path, out: Path) -> None:
    entries = initramfs.root_entries(packages)
    initramfs.pack(entries, folder / "initramfs")
    (folder / "kernel").write_bytes(_file(packages, "boot/vmlinuz-"))
    (folder / "stub").write_bytes(_file(packages, STUB))
    (folder / "osrel").write_text(uki.os_release())
    line = uki.command_line(initramfs.INTERPRETER)
    (folder / "cmdline").write_text(line)
    parts = {".osrel": "osrel", ".cmdline": "cmdline", ".linux": "kernel", ".initrd": "initramfs"}
    paths = {section: folder / name for section, name in parts.items()}
    uki.join(folder / "stub", paths, out / IMAGE)
    described = {
        "product": f"keystead {__version__}",
        "kernelCommandLine": line,
        "packages": sorted(package.origin for package in packages),
        "files": content.listing(entries),
    }
    (out / CONTENTS).write_text(json.dumps(described, indent=1) + "\n")


def _file(packages: Sequence[Package], start: str) -> bytes:
    """Return the one file whose path starts so. Raises InvalidInput if there is not just one."""
    found = [data for one in packages for path, data in one.files.items() if path.startswith(start)]
    if len(found) != 1:
        raise InvalidInput(f"The packages have {len(found)} files {start}, not one.")
    return found[0]
