"""Compiles Python modules to bytecode that depends on nothing but the source."""

import ast
import importlib.util
from typing import Final

from keystead.appliance.code_format import code_bytes

_UNCHECKED_HASH: Final = 0b01
"""Python loads the bytecode without looking at the source (PEP 552)."""

_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def compiled(source: bytes, path: str, *, keeps_docstrings: bool) -> bytes:
    """Return the content of the .pyc file of a module that is at `path` in the image.

    Without docstrings, every process that loads the module takes a megabyte less of memory or so.
    """
    tree = ast.parse(source, path)
    if not keeps_docstrings:
        _remove_docstrings(tree)
    code = compile(tree, path, "exec", dont_inherit=True, optimize=0)
    flags = _UNCHECKED_HASH.to_bytes(4, "little")
    header = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
    return header + code_bytes(code)


def _remove_docstrings(tree: ast.Module) -> None:
    """Remove what `python -OO` removes, but no assertion."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
