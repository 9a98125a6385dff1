"""Chooses what is in the root file system of the appliance, and packs it."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from keystead.appliance import content, cpio
from keystead.appliance.content import ImageFile
from keystead.appliance.debian import PYTHON, Package
from keystead.appliance.elf import is_elf, needed_libraries
from keystead.appliance.kernel_modules import DRIVERS, load_order, name_of
from keystead.appliance.python_files import has_tpm, own_package, server_wheels, standard_library
from keystead.errors import InvalidInput

INTERPRETER: Final = f"usr/bin/{PYTHON}"
MODULES: Final = "usr/lib/modules/"
"""Where the drivers are; the file `order` there names them in the order in which they load."""

_LIBRARY_FOLDERS: Final = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_TPM_DRIVER: Final = "libtss2-tcti-device.so.0"
"""It is loaded by name, and no program says that it needs it."""
_LOADER: Final = "ld-linux-x86-64.so.2"
CONFIGURATION: Final = "etc/keystead/keystead.toml"
WITH_TPM: Final = "etc/keystead/with-tpm.toml"
"""The configuration for a machine that has a TPM."""
UPDATE_KEY: Final = "etc/keystead/update.pem"
_ATTESTATION: Final = b"""\
[attestation]
tpm = "/dev/tpmrm0"
pcrs = "sha256:0,1,2,3,4,5,6,7,11"
is_optional = true
"""
_BUILDER: Final = "made by the builder"
_EMPTY_FOLDERS: Final = ("data", "dev", "etc", "proc", "run", "sys", "tmp", "boot")


def root_entries(packages: Sequence[Package], update_key: bytes | None = None) -> list[ImageFile]:
    """Return everything that is in the root file system.

    `update_key` (PEM) verifies update images. Without a key, the appliance takes none.
    Raises InvalidInput if a library that a program needs is in none of the packages.
    """
    programs = [*_interpreter(packages), *server_wheels(), *own_package()]
    for package in packages:
        programs += standard_library(package)
    return content.with_directories(
        [
            *(*programs, *_libraries(programs, packages), *_drivers(packages)),
            *(*_skeleton(), *configuration(update_key)),
        ]
    )


def pack(entries: Iterable[ImageFile], path: Path) -> None:
    """Write the compressed root file system to `path`."""
    with path.open("wb") as out:
        packing = subprocess.Popen(
            ["zstd", "-12", "--single-thread", "--quiet", "--stdout"],  # noqa: S607 - the system's own
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
    known = {name: found for package in packages for name, found in _shared(package)}
    done = {PurePosixPath(entry.path).name for entry in programs}
    waiting = [name for entry in programs for name in _needed(entry.content)]
    waiting += [_TPM_DRIVER] if has_tpm() else []
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        if name not in known:
            raise InvalidInput(f"No package of the image has the library {name}.")
        library, origin = known[name]
        waiting += _needed(library)
        yield content.file(f"{_LIBRARIES}/{name}", library, origin, permissions=_permissions(name))


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
    modules = {name: found for package in packages for name, found in _kernel_modules(package)}
    files: Mapping[str, bytes] = {name: data for name, (data, _) in modules.items()}
    order = load_order(DRIVERS, files)
    for name in order:
        data, origin = modules[name]
        yield content.file(f"{MODULES}{name}.ko", data, origin)
    listed = "".join(f"{name}.ko\n" for name in order).encode()
    yield content.file(f"{MODULES}order", listed, _BUILDER)


def _kernel_modules(package: Package) -> Iterator[tuple[str, tuple[bytes, str]]]:
    for path, data in package.files.items():
        if path.endswith(".ko"):
            yield name_of(PurePosixPath(path).name), (data, package.origin)


def configuration(update_key: bytes | None) -> Iterator[ImageFile]:
    """Yield the configurations of the server, and the key that verifies update images."""
    always = b"" if update_key is None else b'[update]\npublic_key = "update.pem"\n'
    yield content.file(CONFIGURATION, always, _BUILDER)
    if has_tpm():
        yield content.file(WITH_TPM, always + _ATTESTATION, _BUILDER)
    if update_key is not None:
        yield content.file(UPDATE_KEY, update_key, "the builder's update key")


def _skeleton() -> Iterator[ImageFile]:
    yield from map(content.directory, _EMPTY_FOLDERS)
    yield content.link("lib", "usr/lib")
    yield content.link("lib64", _LIBRARIES)
    # Python opens these before the kernel's own device files are there.
    yield content.device("dev/console", 5, 1)
    yield content.device("dev/null", 1, 3)
    yield content.device("dev/urandom", 1, 9)
