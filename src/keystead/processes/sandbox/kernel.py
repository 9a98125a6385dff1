"""System calls that Python's standard library does not offer, and their errors."""

import contextlib
import ctypes
import os

from keystead.processes.sandbox.system_calls import number

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process or thread, see the manual page.

    Raises OSError if the kernel refuses it.
    """
    arguments = [ctypes.c_ulong(argument) for argument in (value, 0, 0, 0)]
    _check(_libc.prctl(option, *arguments), f"prctl({option})")


def load_end_of_threads() -> None:
    """Load what glibc opens when a thread ends early, as Python's do at the end of the process.

    Where the file is out of reach by then, glibc aborts the process.
    """
    with contextlib.suppress(OSError):  # Other C libraries have no such file, and need none.
        ctypes.CDLL("libgcc_s.so.1")


def mallopt(option: int, value: int) -> None:
    """Set how the C library allocates memory, see the manual page.

    Raises OSError if the library does not know the option or its value.
    """
    if not _libc.mallopt(option, value):
        raise OSError(f"mallopt({option}, {value})")


def call(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make the system call `name` with integers, buffers and null pointers.

    Raises OSError if the kernel answers with an error.
    """
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_libc.syscall(ctypes.c_long(number(name)), *given), name)


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result
