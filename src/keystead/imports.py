"""Leaves out what libraries import for functions that Keystead never calls.

Each process has its own copy of what it imports, so a module that nobody needs takes memory four
times.
"""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import cast


@contextlib.contextmanager
def imported_as(name: str, module: ModuleType | None) -> Iterator[None]:
    """Let imports of `name` find `module`, or raise ModuleNotFoundError if that is None.

    A module that is loaded already stays what it is for those who have it.
    """
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    real = modules.get(name)
    modules[name] = module
    try:
        yield
    finally:
        if real is None:
            del modules[name]
        else:
            modules[name] = real
