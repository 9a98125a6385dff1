"""What process 1 asks of the kernel and Python's standard library does not offer."""

import ctypes
import math
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
PRIVATE: Final = MS_NOSUID | MS_NODEV | MS_NOEXEC

RESTART: Final = 0x01234567
POWER_OFF: Final = 0x4321FEDC
SIGNAL_ON_CTRL_ALT_DEL: Final = 0x00000000

_FINIT_MODULE: Final = 313
"""On x86-64, the one architecture of the appliance."""

_TIME: Final = struct.Struct("@ll")
"""A `struct timeval`: seconds and microseconds."""

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount `source` at the directory `target`, which is made if it is missing.

    Raises OSError if there is no such source, or the kernel refuses it.
    """
    Path(target).mkdir(exist_ok=True)
    given = [text.encode() for text in (source, target, kind)]
    result = _libc.mount(*given, ctypes.c_ulong(flags), options.encode() or None)
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Unmount what is at `target`. Raises OSError if nothing is mounted there, or it is in use."""
    _check(_libc.umount2(target.encode(), 0), f"unmount {target}")


def load_module(path: Path) -> None:
    """Load a driver, whose signature the kernel verifies.

    Raises OSError if the kernel refuses the driver, or the driver finds no device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        result = _libc.syscall(ctypes.c_long(_FINIT_MODULE), ctypes.c_long(descriptor), b"", 0)
        _check(result, f"load {path.name}")
    finally:
        os.close(descriptor)


def set_reboot(command: int) -> None:
    """Restart the machine, power it off, or say what Ctrl-Alt-Del does.

    Raises OSError if this process may not do that.
    """
    _check(_libc.reboot(ctypes.c_int(command)), "reboot")


def slew_clock(seconds: float) -> None:
    """Let the clock run faster or slower until it has caught up by `seconds`.

    Raises OSError if the kernel refuses it.
    """
    whole = math.floor(seconds)
    change = _TIME.pack(whole, int((seconds - whole) * 1_000_000))
    _check(_libc.adjtime(change, None), "adjtime")


def set_parameters(parameters: Iterable[tuple[str, str]], root: Path = Path("/proc/sys")) -> None:
    """Set parameters of the kernel, as sysctl(8) does. Raises OSError if it has no such one."""
    for name, value in parameters:
        (root / name).write_text(value)


def _check(result: int, what: str) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
