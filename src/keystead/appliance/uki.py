"""Makes the one file that the firmware starts: stub, kernel, initramfs and command line.

The format is a unified kernel image of the UAPI group, with the stub of systemd-boot. Secure Boot
verifies all four by one signature.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from keystead import __version__
from keystead.appliance.tools import run

_COMMAND_LINE: Final = (
    "console=tty0 console=ttyS0 loglevel=4 "
    # A RAM file system without a limit: the limit of tmpfs is half of the memory.
    "rootfstype=ramfs "
    "lockdown=integrity module.sig_enforce=1 "
    "init_on_alloc=1 init_on_free=1 slab_nomerge page_alloc.shuffle=1 "
    "randomize_kstack_offset=on vsyscall=none debugfs=off "
    "oops=panic panic=10 "
    # The kernel waits a moment for ticks of the timer at its start, and panics without them: a busy
    # host delivers them too late. Guests of KVM, VMware and Hyper-V skip that check anyway.
    "no_timer_check "
    "rdinit=/{interpreter} -- -I -m keystead.processes.machine"
)

POLICY: Final = ".pcrsig"
"""The part with the signed policy of the image. The stub does not measure it, and puts it into
the root file system, as the file `/.extra/tpm2-pcr-signature.json`."""
_PAGE: Final = 0x1000
_SECTION: Final = re.compile(r" *\d+ (\S+) +([0-9a-f]{8}) +([0-9a-f]{16}) ")
"""A line of objdump: number, name, size and address of a part."""


def os_release() -> str:
    """Return what the image calls itself, in the form of os-release(5)."""
    return f'ID=keystead\nNAME="Keystead"\nPRETTY_NAME="Keystead appliance {__version__}"\n'


def command_line(interpreter: str) -> str:
    """Return the command line of the kernel, which starts `interpreter` as process 1."""
    return _COMMAND_LINE.format(interpreter=interpreter)


def join(stub: Path, parts: Mapping[str, Path], out: Path) -> None:
    """Write the unified kernel image with these parts to `out`.

    Raises InvalidInput if objcopy is missing or fails.
    """
    options = []
    address = _end(stub)
    for name, path in parts.items():
        options += [f"--add-section={name}={path}", f"--change-section-vma={name}={address:#x}"]
        # One behind the other: the firmware takes memory for the gaps too.
        address += _whole_pages(path.stat().st_size)
    # --preserve-dates: objcopy otherwise writes the time of the build into the header.
    run("objcopy", "--preserve-dates", *options, stub, out)


def section(image: Path, name: str) -> bytes:
    """Return the content of a part of an image, or nothing if the image has no such part.

    Raises InvalidInput if objcopy is missing or fails.
    """
    if name not in {found for found, _, _ in _sections(image)}:
        return b""
    with tempfile.NamedTemporaryFile() as out:
        run("objcopy", "--output-target=binary", f"--only-section={name}", image, out.name)
        return Path(out.name).read_bytes()


def _end(image: Path) -> int:
    """Return the first address behind all parts of an image."""
    return max(_whole_pages(address + size) for _, address, size in _sections(image))


def _sections(image: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the address and the size of each part."""
    for line in run("objdump", "--section-headers", image).decode().splitlines():
        if found := _SECTION.match(line):
            yield found[1], int(found[3], 16), int(found[2], 16)


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


def sign(image: Path, *, key: Path, certificate: Path) -> None:
    """Sign the image for Secure Boot, in its place.

    Raises InvalidInput if sbsign is missing or fails.
    """
    run("sbsign", "--key", key, "--cert", certificate, "--output", image, image)
