"""The sandbox: it defines and enforces what each process may do."""

from keystead.processes.sandbox.confinement import (
    INSECURE_OPTION,
    Protections,
    Sandbox,
    allow_files,
    require_support,
)
from keystead.processes.sandbox.memory import end_first, forbid_dumps
from keystead.processes.sandbox.privileges import USERS, own_user
from keystead.processes.sandbox.process_kind import (
    NOTHING,
    OWN_KINDS,
    AllowedAccess,
    OwnKind,
    ProcessKind,
)

__all__ = [
    "INSECURE_OPTION",
    "NOTHING",
    "OWN_KINDS",
    "USERS",
    "AllowedAccess",
    "OwnKind",
    "ProcessKind",
    "Protections",
    "Sandbox",
    "allow_files",
    "end_first",
    "forbid_dumps",
    "own_user",
    "require_support",
]
