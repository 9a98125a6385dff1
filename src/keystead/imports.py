"""Leaves out what libraries import for functions that Keystead never calls.

Each process has its own copy of what it imports, so a module that nobody needs takes memory four
times.
"""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final, cast

USED_BY_NO_PROCESS: Final = ("ast", "locale") if sys.version_info < (3, 14) else ("locale",)
"""inspect imports the first to read Python's code, subprocess the second to read what programs
write. From Python 3.14 on, annotations need the first."""
OPTIONAL: Final = ("typing_extensions",)
"""msgspec uses it if it happens to be installed, and Python's typing if not."""
USED_BY_THE_CORE: Final = ("msgspec.inspect", "msgspec._json_schema")
"""msgspec imports them for descriptions of types, of which the core makes that of the API."""
USED_WITH_TLS: Final = ("asyncio.sslproto",)
"""asyncio imports it, with or without OpenSSL."""
OPENSSL: Final = ("ssl", "_hashlib")
"""asyncio and hashlib do without them, as where a Python has no OpenSSL."""


class _Hollow(ModuleType):
    """A module whose names may be imported, and derived from, but are of no use."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


@contextlib.contextmanager
def leaving_out(*unused: str) -> Iterator[None]:
    """Leave out what no process uses, and the modules that are `unused` by this one."""
    with hollow(*USED_BY_NO_PROCESS, *unused), without(*OPTIONAL):
        yield


@contextlib.contextmanager
def hollow(*names: str) -> Iterator[None]:
    """Let imports of these modules find nothing that is of use, for functions that are not called.

    Later imports find the real modules.
    """
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(_imported_as(name, _Hollow(name)))
        yield


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Let imports of these modules raise ModuleNotFoundError, for libraries that expect that."""
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(_imported_as(name, None))
        yield


@contextlib.contextmanager
def _imported_as(name: str, module: ModuleType | None) -> Iterator[None]:
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
