"""Compiles Python modules to bytecode that depends on nothing but the source."""

import importlib.util
import marshal
from typing import Final

_UNCHECKED_HASH: Final = 0b01
"""Python loads the bytecode without looking at the source (PEP 552)."""
_WITHOUT_REFERENCES: Final = 2
"""The version of the format. Later ones mark objects by how often they are referred to at the
moment, which differs from one build to the next."""


def compiled(source: bytes, path: str) -> bytes:
    """Return the content of the .pyc file of a module that is at `path` in the image."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    flags = _UNCHECKED_HASH.to_bytes(4, "little")
    header = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
    return header + marshal.dumps(code, _WITHOUT_REFERENCES)
