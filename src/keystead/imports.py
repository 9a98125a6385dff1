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
    before = {name: modules[name]} if name in modules else {}
    modules[name] = module
    try:
        yield
    finally:
        del modules[name]
        modules.update(before)


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Let imports of these modules raise ModuleNotFoundError."""
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(imported_as(name, None))
        yield
