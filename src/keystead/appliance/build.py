"""Builds the appliance, from packages to disks."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from keystead import SECURITY_VERSION, __version__
from keystead.appliance import content, debian, disk, initramfs, measurement, uki
from keystead.appliance.content import ImageFile
from keystead.appliance.debian import Package
from keystead.appliance.secure_boot import SigningKeys
from keystead.appliance.sign_policy import sign_policy
from keystead.appliance.update_file import write_update
from keystead.errors import InvalidInput
from keystead.sealing.update_image import SigningKey

STUB: Final = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
"""What the firmware starts first. It hands the other parts of the image to the kernel."""

IMAGE: Final = "keystead.efi"
DISK: Final = "keystead.raw"
CONTENTS: Final = "contents.json"
UPDATE: Final = "keystead.update"


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
        _write_image(_packages(folder), keys, folder, out)
    image, raw = out / IMAGE, out / DISK
    signed = [] if keys is None else [sign(image, keys, security_version=SECURITY_VERSION)]
    disk.write_disk(image, raw)
    disks = [raw, *(disk.convert(raw, form) for form in formats)]
    return [image, *signed, out / CONTENTS, *disks]


def sign(image: Path, keys: SigningKeys, *, security_version: int) -> Path:
    """Sign the image, and return the update image with it, which is written beside it.

    Raises InvalidInput if a tool is missing or fails.
    """
    uki.sign(image, key=keys.key, certificate=keys.certificate)
    slot, update = image.with_suffix(".slot"), image.with_name(UPDATE)
    disk.write_boot_partition(image, slot)
    write_update(
        slot,
        update,
        SigningKey(keys.update_key.read_bytes()),
        version=__version__,
        security_version=security_version,
        release_notes=f"Keystead {__version__}",
    )
    slot.unlink()
    return update


def _packages(folder: Path) -> list[Package]:
    files = debian.fetch(debian.package_names(), folder)
    return [debian.read_package(path) for path in files]


def _write_image(
    packages: Sequence[Package], keys: SigningKeys | None, folder: Path, out: Path
) -> None:
    public = None if keys is None else initramfs.PublicKeys.of(keys)
    entries = initramfs.root_entries(packages, public)
    initramfs.pack(entries, folder / "initramfs")
    (folder / "kernel").write_bytes(_file(packages, "boot/vmlinuz-"))
    (folder / "stub").write_bytes(_file(packages, STUB))
    (folder / "osrel").write_text(uki.os_release())
    (folder / "cmdline").write_text(uki.command_line(initramfs.INTERPRETER))
    parts = {".osrel": "osrel", ".cmdline": "cmdline", ".linux": "kernel", ".initrd": "initramfs"}
    paths = {section: folder / name for section, name in parts.items()}
    described = _described(packages, entries, {**paths, **_of_stub(folder / "stub")})
    (out / CONTENTS).write_bytes(described)
    if keys is not None:
        policy = sign_policy(
            described, keys.policy_key.read_bytes(), security_version=SECURITY_VERSION
        )
        paths[uki.POLICY] = folder / "policy"
        paths[uki.POLICY].write_bytes(policy)
    uki.join(folder / "stub", paths, out / IMAGE)


def _of_stub(stub: Path) -> Mapping[str, Path]:
    """Return what the stub measures of itself."""
    if not measurement.measures_sbat(stub.read_bytes()):
        return {}
    sbat = stub.with_name("sbat")
    sbat.write_bytes(uki.section(stub, measurement.SBAT))
    return {measurement.SBAT: sbat}


def _described(
    packages: Sequence[Package], entries: Sequence[ImageFile], paths: Mapping[str, Path]
) -> bytes:
    """Return the list of contents of the image with these parts."""
    described = {
        "product": f"keystead {__version__}",
        "kernelCommandLine": paths[".cmdline"].read_text(),
        "measurements": {f"pcr{measurement.REGISTER}": measurement.predicted(paths)},
        "packages": sorted(package.origin for package in packages),
        "files": content.listing(entries),
    }
    return json.dumps(described, indent=1).encode() + b"\n"


def _file(packages: Sequence[Package], start: str) -> bytes:
    """Return the one file whose path starts so. Raises InvalidInput if there is not just one."""
    found = [data for one in packages for path, data in one.files.items() if path.startswith(start)]
    if len(found) != 1:
        raise InvalidInput(f"The packages have {len(found)} files {start}, not one.")
    return found[0]
