"""Imports modules from one archive, in which each is compressed by itself.

In the image this is `sitecustomize`, which Python imports before the program. The root file system
is in memory, where loose files would take 9 MiB more. `module_archive` writes the archive.
"""

import marshal
import os
import sys
import zlib
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:  # Nothing can be imported here that is in the archive itself.
    from collections.abc import Mapping, Sequence
    from types import CodeType, ModuleType
    from typing import Final, TypeAlias

    Index: TypeAlias = Mapping[str, Mapping[str, tuple[int, int]]]
    """By the path that files of one kind would have, with `{}` for the name of the module, and by
    this name: where its .pyc file is in the archive, and how long it is."""

ARCHIVE: "Final" = "/usr/lib/keystead/modules"
START_BYTES: "Final" = 8
"""The archive begins with the position of its index, in big-endian order."""
PACKAGE: "Final" = "/__init__"
"""How the name of a file ends, without its suffix, that makes its folder a package."""

_PYC_HEADER_BYTES: "Final" = 16


class ArchivedModules:
    """The modules of an archive, for `sys.meta_path`."""

    def __init__(self, path: str) -> None:
        """`path` is that of the archive. Raises OSError if it cannot be read."""
        self._path = path
        with open(path, "rb") as archive:  # noqa: PTH123 - pathlib is not loaded yet
            archive.seek(int.from_bytes(archive.read(START_BYTES), "big"))
            self._index: Index = marshal.load(archive)  # noqa: S302 - of the image, which is signed

    def find_spec(
        self, name: str, _path: "Sequence[str] | None" = None, _target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        """Return how a module is loaded, or nothing if it is not in the archive."""
        for place, modules in self._index.items():
            if name in modules:
                return self._spec(name, place.format(name.replace(".", "/")))
        return None

    def _spec(self, name: str, file: str) -> ModuleSpec:
        spec = ModuleSpec(name, self, origin=file)  # type: ignore[arg-type]
        spec.has_location = True
        folder, is_package, _ = file.partition(PACKAGE)
        if is_package:
            spec.submodule_search_locations = [folder]
        return spec

    def create_module(self, _spec: ModuleSpec) -> "ModuleType | None":
        """Leave it to Python to make the module."""
        return None

    def exec_module(self, module: "ModuleType") -> None:
        """Run the code of a module in it."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - as every import does

    def get_code(self, name: str) -> "CodeType":
        """Return the code of a module of the archive. `python -m` asks for it.

        Raises ImportError if there is no such module.
        """
        for modules in self._index.values():
            if name in modules:
                return self._code(*modules[name])
        raise ImportError(f"{self._path} has no module {name}", name=name, path=self._path)

    def _code(self, start: int, size: int) -> "CodeType":
        archive = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            compiled = zlib.decompress(os.pread(archive, size, start))
        finally:
            os.close(archive)
        code: CodeType = marshal.loads(memoryview(compiled)[_PYC_HEADER_BYTES:])  # noqa: S302 - the same
        return code


if __name__ == "sitecustomize":
    # Behind the modules that are in the interpreter itself, before those that are loose files.
    sys.meta_path.insert(-1, ArchivedModules(ARCHIVE))
