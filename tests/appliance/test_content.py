"""The parts that an image is made of, one by one."""

import hashlib
import io
import lzma
import marshal
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.appliance import content, cpio
from keystead.appliance.bytecode import compiled
from keystead.appliance.debian import Package
from keystead.appliance.elf import is_elf, needed_libraries
from keystead.appliance.kernel_modules import (
    built_in,
    load_order,
    modules_of,
    name_of,
    pci_aliases,
)
from keystead.appliance.python_files import lean, own_package, wheels

NAME, SIZE = 11, 6


def unpacked(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Return the mode and content of everything in an archive, read as the kernel does."""
    found, reader = {}, io.BytesIO(archive)
    while header := reader.read(110):
        assert header[:6] == b"070701"
        fields = [int(header[6 + 8 * place : 14 + 8 * place], 16) for place in range(13)]
        name = reader.read(fields[NAME])[:-1].decode()
        reader.seek(-reader.tell() % 4, io.SEEK_CUR)
        data = reader.read(fields[SIZE])
        reader.seek(-reader.tell() % 4, io.SEEK_CUR)
        found[name] = (fields[1], data)
    return found


def test_an_archive_has_every_file_with_its_mode_below_its_directories() -> None:
    entries = content.with_directories(
        [
            content.file("a/b/c", b"12345", "pkg:x"),
            content.link("z", "a/b"),
            content.device("dev/null", 1, 3),
        ]
    )

    found = unpacked(b"".join(cpio.archive(entries)))

    assert list(found) == ["a", "a/b", "a/b/c", "dev", "dev/null", "z", "TRAILER!!!"]
    assert found["a"] == (0o040555, b"")
    assert found["a/b/c"] == (0o100444, b"12345")
    assert found["dev/null"] == (0o020600, b"")
    assert found["z"] == (0o120777, b"a/b")


def test_a_path_that_two_packages_have_is_refused() -> None:
    twice = [content.file("a", b"1", "pkg:x"), content.file("a", b"2", "pkg:y")]

    with pytest.raises(ValueError, match="a comes from pkg:x"):
        content.with_directories(twice)


def test_the_list_of_contents_tells_hash_and_origin() -> None:
    (listed,) = content.listing([content.file("a", b"1", "pkg:deb/debian/x@1")])

    assert listed == {
        "path": "/a",
        "mode": "100444",
        "size": 1,
        "sha256": hashlib.sha256(b"1").hexdigest(),
        "origin": "pkg:deb/debian/x@1",
    }


def test_the_libraries_that_python_needs_are_read_from_its_file() -> None:
    program = Path(sys.executable).resolve().read_bytes()

    assert is_elf(program)
    assert "libc.so.6" in needed_libraries(program)


def test_a_text_is_no_program() -> None:
    assert not is_elf(b"#!/bin/sh\n")


def test_drivers_load_after_those_they_need() -> None:
    modules = {
        "disk": b"\0name=disk\0depends=bus-one,core\0",
        "bus_one": b"\0depends=core\0",
        "core": b"\0depends=\0",
        "other": b"\0depends=core\0",
    }

    assert load_order(["disk"], modules) == ["core", "bus_one", "disk"]


def test_drivers_of_pci_devices_are_loaded_for_these_alone() -> None:
    modules = {
        "disk": b"\0alias=pci:v1af4d1*\0depends=bus,core\0",
        "card": b"\0depends=core\0alias=pci:v8086d2*\0alias=pci:v8086d1*\0alias=of:x\0",
        "bus": b"\0depends=\0",
        "core": b"\0alias=pci:v9\0depends=\0",
        "files": b"\0alias=fs-files\0depends=bus\0",
    }

    assert pci_aliases(["disk", "card", "files"], modules) == {
        "bus": [],
        "core": ["pci:v1af4d1*", "pci:v8086d1*", "pci:v8086d2*"],
        "disk": ["pci:v1af4d1*"],
        "card": ["pci:v8086d1*", "pci:v8086d2*"],
        "files": [],
    }


def test_a_driver_that_is_in_no_package_is_an_error() -> None:
    with pytest.raises(KeyError, match="disk"):
        load_order(["disk"], {})


def test_drivers_are_found_packed_and_unpacked() -> None:
    package = Package(
        "pkg:deb/debian/linux",
        {
            "usr/lib/modules/6/kernel/a/one-bus.ko.xz": lzma.compress(b"one"),
            "lib/modules/5/kernel/two.ko": b"two",
            "usr/lib/modules/6/modules.builtin": b"kernel/a/in-it.ko\nkernel/b/too.ko\n",
            "boot/vmlinuz-6": b"kernel",
        },
    )

    assert list(built_in(package)) == ["in_it", "too"]

    assert dict(modules_of(package)) == {
        "one_bus": (b"one", "pkg:deb/debian/linux"),
        "two": (b"two", "pkg:deb/debian/linux"),
    }


def test_drivers_are_called_as_the_kernel_calls_them() -> None:
    assert name_of("virtio-rng.ko") == "virtio_rng"


def test_bytecode_without_docstrings_does_the_same() -> None:
    source = (
        b'"""A module."""\nfrom __future__ import annotations\n'
        b'class A:\n    """Nothing else."""\n'
        b'def f():\n    """Documented."""\n    assert "checked"\n    return "a text"\n'
    )
    found = {}
    exec(marshal.loads(compiled(source, "/x.py", keeps_docstrings=False)[16:]), found)  # noqa: S102, S302 - made here

    assert (found.get("__doc__"), found["A"].__doc__, found["f"].__doc__) == (None, None, None)
    assert found["f"]() == "a text"
    assert found["f"].__code__.co_firstlineno == 5


def test_bytecode_is_the_same_whichever_process_made_it() -> None:
    source = (
        b"def f(x, *, some_name=3):\n    return x in {'some_name', 'b', 'c'} and 'text of it'\n"
    )
    here = compiled(source, "/usr/lib/x.py", keeps_docstrings=True)
    program = (
        "import sys; from keystead.appliance.bytecode import compiled; "
        f"sys.stdout.buffer.write(compiled({source!r}, '/usr/lib/x.py', keeps_docstrings=True))"
    )

    elsewhere = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], check=True, capture_output=True
    )

    assert elsewhere.stdout == here
    assert marshal.loads(here[16:]).co_filename == "/usr/lib/x.py"  # noqa: S302 - made above


def test_only_keystead_is_shipped_with_its_source() -> None:
    own = {entry.path for entry in own_package()}
    others = {entry.path for entry in wheels(["msgspec"])}

    assert "usr/lib/python3/dist-packages/keystead/__main__.py" in own
    assert not [path for path in others if path.endswith(".py")]


def test_of_the_list_of_passwords_nothing_can_run() -> None:
    assert [entry.path.rsplit("/", 1)[1] for entry in wheels(["zxcvbn"])] == [
        "__init__.py",
        "frequency_lists.py",
    ]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_a_library_that_was_compiled_in_another_folder_is_the_same_in_the_image(
    tmp_path: Path,
) -> None:
    compiled_libraries = []
    for name in ("one", "another"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.c").write_text("int answer(void) { return 42; }")
        command = ["gcc", "-g", "-shared", "-fPIC", "-Wl,--build-id", "-o", "a.so", "a.c"]
        subprocess.run(command, cwd=folder, check=True)  # noqa: S603 - the system's
        compiled_libraries.append((folder / "a.so").read_bytes())
    first, second = compiled_libraries
    assert first != second
    assert lean(first) == lean(second)
    assert len(lean(first)) < len(first)
    assert lean(b"text") == b"text"
