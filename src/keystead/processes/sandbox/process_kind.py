"""The kinds of processes, and what each may access besides memory and open sockets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProcessKind = Literal["edge", "core", "platform"]
"""The processes that are sandboxed."""


@dataclass(frozen=True, slots=True)
class AllowedAccess:
    """What a process may access for as long as it runs. The default is nothing."""

    read_write: tuple[Path, ...] = ()
    read_only: tuple[Path, ...] = ()
    tcp_ports: tuple[int, ...] = ()
    """The ports that it may connect to."""


NOTHING = AllowedAccess()
