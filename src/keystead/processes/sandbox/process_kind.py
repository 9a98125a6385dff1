"""The processes, and what beyond memory and open sockets each of them still needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProcessKind = Literal["edge", "core", "platform"]
"""The processes that are sandboxed."""


@dataclass(frozen=True, slots=True)
class AllowedAccess:
    """What of the machine a process needs for as long as it runs; nothing by default."""

    read_write: tuple[Path, ...] = ()
    read_only: tuple[Path, ...] = ()
    tcp_ports: tuple[int, ...] = ()
    """It may connect to these."""


NOTHING = AllowedAccess()
