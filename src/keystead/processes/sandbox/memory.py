"""Keeps memory out of core files, debuggers and swap, and returns it to the kernel early."""

import contextlib
import resource
from pathlib import Path
from typing import Final

from keystead.processes.sandbox import kernel
from keystead.processes.sandbox.process_kind import ProcessKind

# From linux/mman.h. ONFAULT locks only pages that are used.
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
_MLOCK_ONFAULT: Final = 1

_ENDS_FIRST: Final = "500"
"""From 0 to 1000. 500 weighs as much as half of the machine's memory (proc(5))."""

# From malloc.h.
_M_MMAP_THRESHOLD: Final = -3

_LARGE_BLOCK_BYTES: Final = 1024 * 1024
_EDGE_LARGE_BLOCK_BYTES: Final = 128 * 1024
"""For each connection, an edge's event loop has 256 KiB to read into, of which an idle one has used
a page. Mapped on its own, a page is all that it takes. From the heap, it is memory that long
answers have used before. A part of a long answer, of 128 KiB, is mapped too: a heap kept its hole
where a connection had its buffers behind it. That takes a sixth more of an edge's time for such an
answer, and a connection takes 42 KiB afterwards, and not 170."""


def forbid_dumps() -> None:
    """Forbid core files, ptrace, and access to /proc/self/mem by processes of the same user.

    The kernel resets this at a change of user, so call it again after that.
    """
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_first() -> None:
    """Have the kernel end this process before the others of the server, where memory runs out."""
    with contextlib.suppress(OSError):  # Where /proc cannot be written, the largest one ends.
        Path("/proc/self/oom_score_adj").write_text(_ENDS_FIRST)


def return_large_blocks(kind: ProcessKind) -> None:
    """Give each large block back to the kernel, which clears it, as soon as it is freed.

    Such a block also grows without a copy. glibc's heap does neither, and takes blocks of up to
    32 MiB once one of that size was freed.
    """
    least = _EDGE_LARGE_BLOCK_BYTES if kind == "edge" else _LARGE_BLOCK_BYTES
    kernel.mallopt(_M_MMAP_THRESHOLD, least)


def lock_all(*, is_unlimited: bool) -> bool:
    """Lock the memory of this process from now on. Return whether all of it is locked.

    `is_unlimited` is whether the process may lock any amount. If not, memory that is allocated
    later is not locked, because the process would end when it exceeds the limit.
    """
    if not is_unlimited:
        _lock_private_memory()
        return False
    try:
        kernel.call("mlockall", _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)
    except OSError:
        return False
    return True


def lift_limit() -> bool:
    """Raise the limit on locked memory as far as allowed. Return whether it is unlimited now."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with contextlib.suppress(OSError, ValueError):
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
        return True
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    return hard == resource.RLIM_INFINITY


def _lock_private_memory() -> None:
    """Lock the heaps, as far as the limit allows, but not the stack, which must be able to grow."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, access, _, _, inode, *name = line.split(maxsplit=5)
        if access == "rw-p" and inode == "0" and name != ["[stack]"]:
            start, end = (int(address, 16) for address in addresses.split("-"))
            with contextlib.suppress(OSError):  # It is too much.
                kernel.call("mlock2", start, end - start, _MLOCK_ONFAULT)
