"""Puts the bytecode of the image into one archive, from which `archived_modules` imports it."""

import marshal
import re
import zlib
from collections.abc import Iterable, Sequence
from importlib.util import source_from_cache
from pathlib import Path
from typing import Final

from keystead.appliance import archived_modules, content
from keystead.appliance.archived_modules import ARCHIVE, PACKAGE, START_BYTES
from keystead.appliance.bytecode import compiled
from keystead.appliance.code_format import WITHOUT_REFERENCES
from keystead.appliance.content import ImageFile
from keystead.appliance.python_files import PACKAGES, STANDARD_LIBRARY

_ROOTS: Final = (STANDARD_LIBRARY, PACKAGES)
_LOOSE: Final = re.compile(rf"{STANDARD_LIBRARY}(encodings/.*|os\.pyc)")
"""What Python needs before the importer: encodings, and the file by which it finds its library."""
_IMPORTER: Final = f"{STANDARD_LIBRARY}sitecustomize.py"
_BEST: Final = 9


def with_archive(entries: Iterable[ImageFile]) -> list[ImageFile]:
    """Return the entries with all bytecode in one archive, and what imports it from there."""
    loose: list[ImageFile] = []
    packed: list[ImageFile] = []
    for entry in entries:
        is_packed = entry.path.endswith(".pyc") and not _LOOSE.fullmatch(entry.path)
        (packed if is_packed else loose).append(entry)
    return [*loose, _importer(), _archive(sorted(packed, key=lambda entry: entry.path))]


def _importer() -> ImageFile:
    source = Path(archived_modules.__file__).read_bytes()
    code = compiled(source, f"/{_IMPORTER}", keeps_docstrings=False)
    return content.file(f"{_IMPORTER}c", code, content.BUILDER)


def _archive(modules: Sequence[ImageFile]) -> ImageFile:
    index: dict[str, dict[str, tuple[int, int]]] = {}
    written = bytearray(START_BYTES)
    for entry in modules:
        place, name = _place_and_name(entry.path)
        data = zlib.compress(entry.content, _BEST)
        index.setdefault(place, {})[name] = (len(written), len(data))
        written += data
    written[:START_BYTES] = len(written).to_bytes(START_BYTES, "big")
    written += marshal.dumps(index, WITHOUT_REFERENCES)
    return content.file(ARCHIVE.lstrip("/"), bytes(written), content.BUILDER, packed=modules)


def _place_and_name(path: str) -> tuple[str, str]:
    """Return where a module would be, with `{}` for its name, and the name.

    `path` is that of its bytecode.
    """
    # Bytecode whose source is in the image is in the folder for it.
    file = source_from_cache(path) if "/__pycache__/" in path else path
    root = next(root for root in _ROOTS if file.startswith(root))
    stem, _, suffix = file.removeprefix(root).partition(".")
    name = stem.removesuffix(PACKAGE)
    is_package = name != stem
    return f"/{root}{{}}{PACKAGE * is_package}.{suffix}", name.replace("/", ".")
