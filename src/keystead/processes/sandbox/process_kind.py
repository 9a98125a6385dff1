"""The kinds of processes, and what each may access besides memory and open sockets."""

from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

OwnKind = Literal["edge", "core", "platform"]
"""The processes that run Keystead's own code once they have started."""
OWN_KINDS: Final[tuple[OwnKind, ...]] = get_args(OwnKind)

ProcessKind = OwnKind | Literal["etcd"]
"""The processes that are sandboxed."""


class AllowedAccess(msgspec.Struct, frozen=True):
    """What a process may access for as long as it runs. The default is nothing."""

    read_write: tuple[Path, ...] = ()
    read_only: tuple[Path, ...] = ()
    tcp_ports: tuple[int, ...] = ()
    """The ports that it may connect to."""
    any_tcp: bool = False
    """Whether it may connect to every port, and listen."""
    unix_sockets: bool = False
    """Whether it may connect to Unix sockets."""
    directories: tuple[Path, ...] = ()
    """Where it may also make sockets and remove directories."""
    programs: tuple[Path, ...] = ()
    """Programs that it may become, and libraries for them."""


NOTHING = AllowedAccess()
