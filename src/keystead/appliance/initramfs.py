"""Chooses what is in the root file system of the appliance, and packs it."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from keystead.appliance import content, cpio
from keystead.appliance.content import ImageFile
from keystead.appliance.debian import PYTHON, Package
from keystead.appliance.elf import is_elf, needed_libraries
from keystead.appliance.kernel_modules import DRIVERS, built_in, load_order, modules_of, pci_aliases
from keystead.appliance.module_archive import with_archive
from keystead.appliance.python_files import has_tpm, own_package, server_wheels, standard_library
from keystead.appliance.secure_boot import SigningKeys
from keystead.errors import InvalidInput

INTERPRETER: Final = f"usr/bin/{PYTHON}"
MODULES: Final = "usr/lib/modules/"
"""Where the drivers are; the file `order` there names them in the order in which they load, each
with the aliases of the PCI devices that it is for."""
CHECK: Final = "usr/lib/check/"
"""Where the program is that checks the data partition, and the libraries that it alone needs."""

_CHECK_PROGRAMS: Final = ("sbin/e2fsck", "usr/sbin/e2fsck")
_LIBRARY_FOLDERS: Final = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_TPM_DRIVER: Final = "libtss2-tcti-device.so.0"
"""It is loaded by name, and no program says that it needs it."""
_LOADER: Final = "ld-linux-x86-64.so.2"
CONFIGURATION: Final = "etc/keystead/keystead.toml"
WITH_TPM: Final = "etc/keystead/with-tpm.toml"
"""The configuration for a machine that has a TPM."""
UPDATE_KEY: Final = "etc/keystead/update.pem"
POLICY_KEY: Final = "etc/keystead/policy.pem"
_ATTESTATION: Final = b"""\
[attestation]
tpm = "/dev/tpmrm0"
pcrs = "sha256:0,1,2,3,4,5,6,7,11"
is_optional = true
"""
_UPDATE: Final = b"""\
[update]
public_key = "update.pem"
"""
_SEALED: Final = b"""\
[device_key]
provider = "tpm2"
revoke_older = true
image_key = "policy.pem"
image_policy = "/.extra/tpm2-pcr-signature.json"
"""
"""The policy is where the stub of the image puts it."""
_EMPTY_FOLDERS: Final = ("data", "dev", "etc", "proc", "run", "sys", "tmp", "boot")


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What an image knows of its builder, in PEM."""

    update: bytes
    """Verifies update images."""
    policy: bytes
    """Verifies the policies of images, to which the device key is sealed."""

    @classmethod
    def of(cls, keys: SigningKeys) -> "PublicKeys":
        """Return the public keys of a builder."""
        return cls(keys.update_public_key.read_bytes(), keys.policy_public_key.read_bytes())


def root_entries(packages: Sequence[Package], keys: PublicKeys | None = None) -> list[ImageFile]:
    """Return everything that is in the root file system.

    Without `keys`, the appliance takes no updates and seals nothing.
    Raises InvalidInput if a library that a program needs is in none of the packages.
    """
    programs = [*_interpreter(packages), *server_wheels(), *own_package()]
    for package in packages:
        programs += standard_library(package)
    libraries = list(_libraries(programs, packages))
    return content.with_directories(
        [
            *(
                *with_archive(programs),
                *libraries,
                *_check(libraries, packages),
                *_drivers(packages),
            ),
            *(*_skeleton(), *configuration(keys)),
        ]
    )


def pack(entries: Iterable[ImageFile], path: Path) -> None:
    """Write the compressed root file system to `path`."""
    with path.open("wb") as out:
        packing = subprocess.Popen(
            ["zstd", "-19", "--single-thread", "--quiet", "--stdout"],  # noqa: S607 - the system's own
            stdin=subprocess.PIPE,
            stdout=out,
        )
        with packing as running:
            if running.stdin is not None:
                running.stdin.writelines(cpio.archive(entries))
    if packing.returncode:
        raise InvalidInput(f"zstd failed with status {packing.returncode}.")


def _interpreter(packages: Sequence[Package]) -> Iterator[ImageFile]:
    for package in packages:
        if INTERPRETER in package.files:
            program = package.files[INTERPRETER]
            yield content.file(INTERPRETER, program, package.origin, permissions=content.EXECUTABLE)


def _libraries(programs: Sequence[ImageFile], packages: Sequence[Package]) -> Iterator[ImageFile]:
    """Yield the libraries that programs need, those that these need, and so on."""
    wanted = [name for entry in programs for name in _needed(entry.content)]
    wanted += [_TPM_DRIVER] if has_tpm() else []
    for name, library, origin in _closure(wanted, packages, present=programs):
        path = f"{_LIBRARIES}/{name}"
        yield content.file(path, library, origin, permissions=_permissions(name))


def _check(present: Sequence[ImageFile], packages: Sequence[Package]) -> Iterator[ImageFile]:
    """Yield the program that checks the data partition, and the libraries that it alone needs."""
    program, origin = _check_program(packages)
    yield content.file(f"{CHECK}e2fsck", program, origin, permissions=content.EXECUTABLE)
    for name, library, its_origin in _closure(_needed(program), packages, present=present):
        yield content.file(f"{CHECK}{name}", library, its_origin)


def _check_program(packages: Sequence[Package]) -> tuple[bytes, str]:
    for package in packages:
        for path in _CHECK_PROGRAMS:
            if path in package.files:
                return package.files[path], package.origin
    raise InvalidInput("No package of the image has the program e2fsck.")


def _closure(
    wanted: Iterable[str], packages: Sequence[Package], *, present: Sequence[ImageFile]
) -> Iterator[tuple[str, bytes, str]]:
    """Yield the libraries that are not present, and those that they need: name, content, origin.

    Raises InvalidInput if one of them is in no package.
    """
    known = {name: found for package in packages for name, found in _shared(package)}
    done = {PurePosixPath(entry.path).name for entry in present}
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        if name not in known:
            raise InvalidInput(f"No package of the image has the library {name}.")
        library, origin = known[name]
        waiting += _needed(library)
        yield name, library, origin


def _permissions(library: str) -> int:
    return content.EXECUTABLE if library == _LOADER else content.READ_ONLY


def _needed(data: bytes) -> list[str]:
    return needed_libraries(data) if is_elf(data) else []


def _shared(package: Package) -> Iterator[tuple[str, tuple[bytes, str]]]:
    """Yield each library of a package by each of its names."""
    real = {
        PurePosixPath(path).name: data
        for path, data in package.files.items()
        if str(PurePosixPath(path).parent) in _LIBRARY_FOLDERS
    }
    for name, data in real.items():
        yield name, (data, package.origin)
    for path, target in package.links.items():
        name = PurePosixPath(target).name
        if name in real:
            yield PurePosixPath(path).name, (real[name], package.origin)


def _drivers(packages: Sequence[Package]) -> Iterator[ImageFile]:
    modules = {name: found for package in packages for name, found in modules_of(package)}
    files: Mapping[str, bytes] = {name: data for name, (data, _) in modules.items()}
    present = {name for package in packages for name in built_in(package)}
    wanted = [name for name in DRIVERS if name not in present]
    order, aliases = load_order(wanted, files), pci_aliases(wanted, files)
    for name in order:
        data, origin = modules[name]
        yield content.file(f"{MODULES}{name}.ko", data, origin)
    listed = "".join(f"{' '.join([f'{name}.ko', *aliases[name]])}\n" for name in order).encode()
    yield content.file(f"{MODULES}order", listed, content.BUILDER)


def configuration(keys: PublicKeys | None) -> Iterator[ImageFile]:
    """Yield the configurations of the server, and the keys that they name."""
    always, with_tpm = (b"", b"") if keys is None else (_UPDATE, _SEALED)
    yield content.file(CONFIGURATION, always, content.BUILDER)
    if has_tpm():
        yield content.file(WITH_TPM, always + _ATTESTATION + with_tpm, content.BUILDER)
    if keys is not None:
        yield content.file(UPDATE_KEY, keys.update, "the builder's update key")
        yield content.file(POLICY_KEY, keys.policy, "the builder's policy key")


def _skeleton() -> Iterator[ImageFile]:
    yield from map(content.directory, _EMPTY_FOLDERS)
    yield content.link("lib", "usr/lib")
    yield content.link("lib64", _LIBRARIES)
    # Python opens these before the kernel's own device files are there.
    yield content.device("dev/console", 5, 1)
    yield content.device("dev/null", 1, 3)
    yield content.device("dev/urandom", 1, 9)
