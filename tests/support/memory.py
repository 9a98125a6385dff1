"""What is in the memory of another process; it takes the right to trace it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


def regions(pid: int) -> Iterator[bytes]:
    """The readable memory of a process, mapping by mapping."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *_ = line.split()
            start, end = (int(bound, 16) for bound in span.split("-"))
            if permissions.startswith("rw"):
                memory.seek(start)
                with contextlib.suppress(OSError, OverflowError):
                    yield memory.read(end - start)


def occurrences(pid: int, value: bytes) -> int:
    """How often `value` is in the writable memory of a process. Raises PermissionError."""
    return sum(region.count(value) for region in regions(pid))
