"""The archive of the image's modules, and what imports from it."""

import hashlib
import importlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.appliance import content
from keystead.appliance.archived_modules import ARCHIVE, ArchivedModules
from keystead.appliance.bytecode import compiled
from keystead.appliance.content import ImageFile
from keystead.appliance.module_archive import with_archive
from keystead.appliance.python_files import PACKAGES, STANDARD_LIBRARY

SOURCES = {
    f"{STANDARD_LIBRARY}archived_alone.pyc": "VALUE = 1",
    f"{PACKAGES}archived/__init__.pyc": "from archived.inner import VALUE",
    f"{PACKAGES}archived/inner.pyc": "VALUE = 2",
    f"{PACKAGES}archived/deep/__init__.pyc": "VALUE = 3",
    f"{PACKAGES}archived/__pycache__/shown.cpython-311.pyc": "VALUE = 4",
    f"{STANDARD_LIBRARY}encodings/utf_8.pyc": "",
    f"{STANDARD_LIBRARY}os.pyc": "",
}


def bytecode(path: str) -> ImageFile:
    code = compiled(SOURCES[path].encode(), f"/{path}", keeps_docstrings=False)
    return content.file(path, code, "pkg:x")


@pytest.fixture
def entries() -> list[ImageFile]:
    """A root file system of modules."""
    library = content.file(f"{PACKAGES}archived/fast.so", b"library", "pkg:x")
    return with_archive([*map(bytecode, SOURCES), library])


@pytest.fixture
def modules(entries: list[ImageFile], tmp_path: Path) -> Iterator[ArchivedModules]:
    """The modules of its archive, which this Python imports too for as long."""
    path = tmp_path / "modules"
    path.write_bytes(archive_of(entries).content)
    found = ArchivedModules(str(path))
    sys.meta_path.append(found)
    yield found
    sys.meta_path.remove(found)
    for name in [name for name in sys.modules if name.startswith("archived")]:
        del sys.modules[name]


def archive_of(entries: list[ImageFile]) -> ImageFile:
    (found,) = [entry for entry in entries if f"/{entry.path}" == ARCHIVE]
    return found


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("name", "value", "file"),
    [
        ("archived_alone", 1, f"/{STANDARD_LIBRARY}archived_alone.pyc"),
        ("archived", 2, f"/{PACKAGES}archived/__init__.pyc"),
        ("archived.inner", 2, f"/{PACKAGES}archived/inner.pyc"),
        ("archived.deep", 3, f"/{PACKAGES}archived/deep/__init__.pyc"),
        ("archived.shown", 4, f"/{PACKAGES}archived/shown.py"),
    ],
)
def test_a_module_is_imported_and_knows_its_file(name: str, value: int, file: str) -> None:
    module = importlib.import_module(name)

    assert (value, file) == (module.VALUE, module.__file__)


@pytest.mark.usefixtures("modules")
def test_libraries_are_looked_for_in_the_folder_of_their_package() -> None:
    package = importlib.import_module("archived")

    assert package.__path__ == [f"/{PACKAGES}archived"]
    assert not hasattr(importlib.import_module("archived.inner"), "__path__")


def test_a_module_that_is_not_in_the_archive_is_left_to_others(modules: ArchivedModules) -> None:
    assert modules.find_spec("encodings.utf_8") is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("archived.missing")
    with pytest.raises(ImportError):
        modules.get_code("archived.missing")


def test_a_program_is_run_by_the_name_of_its_module(modules: ArchivedModules) -> None:
    code = modules.get_code("archived.deep")

    assert code.co_filename == f"/{PACKAGES}archived/deep/__init__.pyc"


def test_a_damaged_archive_imports_nothing(entries: list[ImageFile], tmp_path: Path) -> None:
    whole = archive_of(entries).content
    damaged = tmp_path / "modules"
    damaged.write_bytes(whole[:8] + bytes(56) + whole[64:])

    with pytest.raises(zlib.error):
        ArchivedModules(str(damaged)).get_code("archived_alone")


def test_what_python_needs_before_the_archive_is_loose(entries: list[ImageFile]) -> None:
    assert {entry.path for entry in entries} == {
        ARCHIVE.lstrip("/"),
        f"{STANDARD_LIBRARY}sitecustomize.pyc",
        f"{STANDARD_LIBRARY}encodings/utf_8.pyc",
        f"{STANDARD_LIBRARY}os.pyc",
        f"{PACKAGES}archived/fast.so",
    }


def test_the_list_of_contents_has_what_is_in_the_archive(entries: list[ImageFile]) -> None:
    listed = {one["path"]: one for one in content.listing(entries)}

    packed = {path for path, one in listed.items() if one.get("packedInto") == ARCHIVE}
    assert packed == {
        f"/{path}" for path in SOURCES if "encodings" not in path and "/os." not in path
    }
    code = bytecode(f"{PACKAGES}archived/inner.pyc")
    assert listed[f"/{code.path}"] == {
        "path": f"/{code.path}",
        "mode": "100444",
        "size": len(code.content),
        "sha256": hashlib.sha256(code.content).hexdigest(),
        "origin": "pkg:x",
        "packedInto": ARCHIVE,
    }
