"""Makes the one file that the firmware starts: stub, kernel, initramfs and command line.

The format is a unified kernel image of the UAPI group, with the stub of systemd-boot. Secure Boot
verifies all four by one signature.
"""

from collections.abc import Mapping
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
    "rdinit=/{interpreter} -- -I -m keystead.processes.machine"
)

_ADDRESSES: Final = {
    ".osrel": 0x20000,
    ".cmdline": 0x30000,
    ".linux": 0x2000000,
    ".initrd": 0x4000000,
}
"""Where the stub finds the parts in memory: far enough apart for each to fit."""


def os_release() -> str:
    """Return what the image calls itself, in the form of os-release(5)."""
    return f'ID=keystead\nNAME="Keystead"\nPRETTY_NAME="Keystead appliance {__version__}"\n'


def command_line(interpreter: str) -> str:
    """Return the command line of the kernel, which starts `interpreter` as process 1."""
    return _COMMAND_LINE.format(interpreter=interpreter)


def join(stub: Path, parts: Mapping[str, Path], out: Path) -> None:
    """Write the unified kernel image with these parts to `out`. Raises InvalidInput."""
    sections = [
        option
        for name, path in parts.items()
        for option in (
            f"--add-section={name}={path}",
            f"--change-section-vma={name}={_ADDRESSES[name]:#x}",
        )
    ]
    run("objcopy", *sections, stub, out)


def sign(image: Path, *, key: Path, certificate: Path) -> None:
    """Sign the image for Secure Boot, in its place. Raises InvalidInput."""
    run("sbsign", "--key", key, "--cert", certificate, "--output", image, image)
