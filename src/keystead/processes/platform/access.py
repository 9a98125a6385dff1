"""What the platform needs of the machine while it runs, and must prepare before."""

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from keystead.processes.platform.settings import PlatformSettings
from keystead.processes.sandbox import AllowedAccess

_NAME_SERVERS: Final = Path("/etc/resolv.conf")
_NAME_SERVER_PORT: Final = 53
_LOOKUP_THREADS: Final = 2
"""One thread for a lookup that hangs, and one for the next attempt."""

_SETTINGS: Final = Path("/etc")
_AUTHORITIES: Final = Path("/usr/share/ca-certificates")
"""The target of the symbolic links in /etc/ssl/certs."""


def platform_access(data: Path, settings: PlatformSettings, *, uses_etcd: bool) -> AllowedAccess:
    """Return the data directory, that of the second place, and for syslog what host names need.

    The member of a cluster, and one that joins it, connects to its etcd.
    """
    head, syslog = settings.head_file, settings.syslog
    writable = (data,) if head is None else (data, Path(head).parent)
    if syslog is None:
        return AllowedAccess(read_write=writable, unix_sockets=uses_etcd)
    return AllowedAccess(
        read_write=writable,
        unix_sockets=uses_etcd,
        # A change of name servers replaces the file, so the rule is for its directory.
        read_only=(
            _SETTINGS,
            _NAME_SERVERS.resolve().parent,
            _AUTHORITIES,
            *_default_authorities(),
        ),
        tcp_ports=(syslog.port, _NAME_SERVER_PORT),
    )


def load_name_services() -> None:
    """Let the C library and Python load their modules for host names."""
    "localhost".encode("idna")
    with contextlib.suppress(OSError):  # Not every container has a name for the loopback address.
        socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)


def start_lookup_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Start the threads that look up host names, because none can be started later."""
    executor = ThreadPoolExecutor(_LOOKUP_THREADS, "lookup")
    barrier = threading.Barrier(_LOOKUP_THREADS + 1)
    for _ in range(_LOOKUP_THREADS):
        executor.submit(barrier.wait)
    barrier.wait()
    loop.set_default_executor(executor)


def _default_authorities() -> list[Path]:
    import ssl  # noqa: PLC0415 - only syslog over TLS needs it

    paths = ssl.get_default_verify_paths()
    return [Path(found).resolve() for found in (paths.cafile, paths.capath) if found]
