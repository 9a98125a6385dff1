"""Takes the kernel, Python and the libraries from Debian's packages, which apt verifies."""

import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keystead.appliance.tools import run
from keystead.errors import InvalidInput

PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The Python of the image is the version that builds it: the bytecode has to fit."""

_LIBRARIES: Final = ("libc6", "libgcc-s1", "libffi8", "libexpat1", "zlib1g", "libsqlite3-0")
_CHECK: Final = ("e2fsprogs", "libcom-err2", "libblkid1", "libuuid1")
"""What checks the data partition; a further library has another name in each release."""
# The last ones are for a TPM. What is not needed by a program is not taken from them.
_OF_RELEASE: Final = {
    "bookworm": (
        *("libssl3", "libext2fs2"),
        *("libtss2-esys-3.0.2-0", "libtss2-sys1", "libtss2-mu0", "libtss2-rc0"),
        *("libtss2-tctildr0", "libtss2-tcti-device0"),
    ),
    "trixie": (
        *("libssl3t64", "libzstd1", "libext2fs2t64"),
        *("libtss2-esys-3.0.2-0t64", "libtss2-sys1t64", "libtss2-mu-4.0.1-0t64"),
        *("libtss2-rc0t64", "libtss2-tctildr0t64", "libtss2-tcti-device0t64"),
    ),
}
"""The libraries whose packages each release calls otherwise."""
_NOT_NEEDED: Final = re.compile(
    r"usr/share/|(usr/)?lib/modules/[^/]+/kernel/(sound|drivers/(gpu|media|staging|infiniband|usb|iio)"
    r"|drivers/net/(wireless|ethernet/(?!intel)))/"
)
"""Most of Debian's files: documentation, and drivers of hardware that no virtual machine has."""
_KERNEL: Final = "linux-image-amd64"
STUB_PACKAGE: Final = "systemd-boot-efi"


@dataclass(frozen=True, slots=True)
class Package:
    """The files and links of a package, by their paths without a leading slash."""

    origin: str
    """The package, its version and its architecture, as a package URL."""
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def package_names() -> list[str]:
    """Return the names of the packages that the image is made of.

    Raises InvalidInput if this machine is no Debian that the image can be built on.
    """
    libraries = _OF_RELEASE.get(_release())
    if libraries is None or platform.machine() != "x86_64":
        raise InvalidInput(
            "The appliance is built on Debian 12 or 13, x86-64: its kernel, Python and libraries "
            "come from Debian's packages."
        )
    interpreter = (f"{PYTHON}-minimal", f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib")
    programs = (*interpreter, *_CHECK)
    return [*programs, *_LIBRARIES, *libraries, STUB_PACKAGE, kernel_package()]


def _release() -> str:
    """Return the code name of this machine's system, empty if it has none."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def kernel_package() -> str:
    """Return the name of the package with Debian's present kernel."""
    for line in run("apt-cache", "depends", _KERNEL).decode().splitlines():
        word, _, name = line.strip().partition(": ")
        if word == "Depends" and name.startswith("linux-image-"):
            return name
    raise InvalidInput(f"apt knows no package {_KERNEL}: is its list of packages up to date?")


def fetch(names: Sequence[str], folder: Path) -> list[Path]:
    """Download the packages into an empty `folder`, and return the files, sorted by name.

    Raises InvalidInput if apt cannot fetch a package, or if its signature chain is broken.
    """
    run("apt-get", "--quiet", "--option=APT::Sandbox::User=root", "download", *names, folder=folder)
    return sorted(folder.glob("*.deb"))


def read_package(path: Path) -> Package:
    """Return what is in the package at `path`, without what is of no use to the appliance."""
    described = "pkg:deb/debian/${Package}@${Version}?arch=${Architecture}"
    package = Package(run("dpkg-deb", "--show", f"--showformat={described}", path).decode())
    with subprocess.Popen(  # noqa: S603 - a fixed command of the system
        ["dpkg-deb", "--fsys-tarfile", path],  # noqa: S607 - the system's own, found by PATH
        stdout=subprocess.PIPE,
    ) as unpacking:
        for name, content in _members(unpacking):
            if _NOT_NEEDED.match(name):
                continue
            if isinstance(content, str):
                package.links[name] = content
            else:
                package.files[name] = content
    return package


def _members(unpacking: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes | str]]:
    with tarfile.open(fileobj=unpacking.stdout, mode="r|") as packed:
        for member in packed:
            name = member.name.removeprefix("./")
            if member.issym():
                yield name, member.linkname
            elif member.isfile():
                content = packed.extractfile(member)
                yield name, b"" if content is None else content.read()
