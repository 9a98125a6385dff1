"""Landlock: which files, TCP ports and processes this one can still reach. See landlock(7)."""

import ctypes
import os
import stat
import struct
from pathlib import Path
from typing import Final

from keystead.processes.sandbox import kernel
from keystead.processes.sandbox.process_kind import AllowedAccess

# From linux/landlock.h.
_GET_VERSION: Final = 1
_BENEATH_PATH: Final = 1
_AT_PORT: Final = 2

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIRECTORY: Final = 1 << 3
_REMOVE_DIRECTORY: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIRECTORY: Final = 1 << 7
_MAKE_FILE: Final = 1 << 8
_MAKE_SOCKET: Final = 1 << 9
_TRUNCATE: Final = 1 << 14
_CONNECT_TCP: Final = 1 << 1

_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""The rights that a rule may have for a path that is not a directory."""

_READ: Final = _READ_FILE | _READ_DIRECTORY
_READ_WRITE: Final = _READ | _WRITE_FILE | _TRUNCATE | _REMOVE_FILE | _MAKE_FILE | _MAKE_DIRECTORY

_OWN_DIRECTORY: Final = _READ_WRITE | _REMOVE_DIRECTORY | _MAKE_SOCKET

_ALL_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""The number of file rights in each version. Later versions have as many as the last one here."""
_VERSION_WITH_TCP: Final = 4
_VERSION_WITH_SCOPES: Final = 6
_BIND_OR_CONNECT_TCP: Final = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11


def version() -> int:
    """Return the Landlock version of this kernel, or 0 if it has none."""
    try:
        return kernel.call("landlock_create_ruleset", None, 0, _GET_VERSION)
    except OSError:
        return 0


def restrict(allowed: AllowedAccess) -> None:
    """Take all access but what is `allowed` from this thread and those it starts, for good.

    The process must have set no-new-privileges, and the kernel must have Landlock. Raises OSError
    if the kernel refuses it, or a path does not exist.
    """
    best = version()
    files = (1 << _ALL_FILE_RIGHTS.get(best, 16)) - 1
    ruleset = _ruleset(best, files, tcp=0 if allowed.any_tcp else _BIND_OR_CONNECT_TCP)
    try:
        for path in allowed.read_write:
            _add_path(ruleset, path, _READ_WRITE & files)
        for path in allowed.read_only:
            _add_path(ruleset, path, _READ)
        for path in allowed.directories:
            _add_path(ruleset, path, _OWN_DIRECTORY & files)
        for path in allowed.programs:
            _add_path(ruleset, path, _READ | _EXECUTE)
        if best >= _VERSION_WITH_TCP:
            for port in allowed.tcp_ports:
                _add(ruleset, _AT_PORT, struct.pack("=QQ", _CONNECT_TCP, port))
        kernel.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def describe(best: int) -> str:
    """Return what a Landlock version restricts, as text for the log."""
    what = ["files"]
    if best >= _VERSION_WITH_TCP:
        what.append("TCP")
    if best >= _VERSION_WITH_SCOPES:
        what.append("signals")
    return f"Landlock {best} ({', '.join(what)})"


def _ruleset(best: int, files: int, *, tcp: int) -> int:
    fields = [files]
    if best >= _VERSION_WITH_TCP:
        fields.append(tcp)
    if best >= _VERSION_WITH_SCOPES:
        fields.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return kernel.call("landlock_create_ruleset", buffer, len(attributes), 0)


def _add_path(ruleset: int, path: Path, rights: int) -> None:
    """Allow `path` and everything beneath it. Do nothing if it does not exist."""
    try:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(at).st_mode):
            rights &= _OF_FILES
        _add(ruleset, _BENEATH_PATH, struct.pack("=Qi", rights, at))
    finally:
        os.close(at)


def _add(ruleset: int, kind: int, rule: bytes) -> None:
    buffer = ctypes.create_string_buffer(rule, len(rule))
    kernel.call("landlock_add_rule", ruleset, kind, buffer, 0)
