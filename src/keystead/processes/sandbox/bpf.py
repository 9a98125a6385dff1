"""Seccomp filters: from rules by name to classic BPF, and into the kernel.

See seccomp(2). A filter sees the architecture, the number and the arguments of a system call, not
what its pointers point to.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.processes.sandbox import kernel
from keystead.processes.sandbox.system_calls import (
    ARCHITECTURE,
    FOREIGN_NUMBERS,
    is_known,
    number,
)

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
"""Kills the whole process with SIGSYS."""


def fail(error: int) -> int:
    """Return the action that makes a system call fail with `error`, without any effect."""
    return 0x00050000 | error


class Where(msgspec.Struct, frozen=True):
    """A condition: the low 32 bits of an argument, masked, are one of some values."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF


class Rule(msgspec.Struct, frozen=True):
    """The action for a system call: `then` if all conditions hold, and `otherwise` if not."""

    then: int = ALLOW
    conditions: tuple[Where, ...] = ()
    otherwise: int = KILL


Rules = Mapping[str, Rule]
"""Rules by the name of the system call. A system call without a rule kills the process."""

# From linux/bpf_common.h.
_LOAD_WORD: Final = 0x20
_AND: Final = 0x54
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_NOT_LESS: Final = 0x35
_RETURN: Final = 0x06

# From linux/seccomp.h: struct seccomp_data.
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16

_SET_MODE_FILTER: Final = 1
_GET_ACTION_AVAILABLE: Final = 2
_ALL_THREADS: Final = 1


def assemble(rules: Rules, *, default: int = KILL) -> bytes:
    """Return the filter for this machine's architecture.

    System calls of another architecture (a 32-bit one, x32) kill the process.
    """
    code = [
        _instruction(_LOAD_WORD, _ARCHITECTURE_AT),
        _instruction(_JUMP_IF_EQUAL, ARCHITECTURE, if_true=1),
        _instruction(_RETURN, KILL),
        _instruction(_LOAD_WORD, _NUMBER_AT),
        _instruction(_JUMP_IF_NOT_LESS, FOREIGN_NUMBERS, if_false=1),
        _instruction(_RETURN, KILL),
    ]
    # The kernel (from 5.11 on) remembers what is always allowed, and runs only rules with
    # conditions.
    for name, rule in sorted(rules.items(), key=lambda item: not item[1].conditions):
        if is_known(name):
            body = _body(rule)
            code += [_instruction(_JUMP_IF_EQUAL, number(name), if_false=len(body)), *body]
    return b"".join([*code, _instruction(_RETURN, default)])


def install(program: bytes) -> None:
    """Install this filter permanently for all threads of this process.

    The process must have set no-new-privileges before. Raises OSError if the kernel refuses it, or
    a thread does not take the filter.
    """
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    buffer = ctypes.create_string_buffer(header, len(header))
    thread = kernel.call("seccomp", _SET_MODE_FILTER, _ALL_THREADS, buffer)
    if thread:
        raise OSError(errno.ESRCH, f"thread {thread} does not take the filter")


def require_support() -> None:
    """Raise OSError unless this kernel can do all that `install` needs. Changes nothing."""
    kill = ctypes.create_string_buffer(struct.pack("=I", KILL), 4)
    kernel.call("seccomp", _GET_ACTION_AVAILABLE, 0, kill)
    try:
        # Without a filter, EFAULT shows that the kernel accepts the flags.
        kernel.call("seccomp", _SET_MODE_FILTER, _ALL_THREADS, None)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _body(rule: Rule) -> list[bytes]:
    """Return the code for a system call with this rule. It ends with an action."""
    code = []
    for condition in rule.conditions:
        left = len(condition.values)
        code += [
            _instruction(_LOAD_WORD, _ARGUMENTS_AT + 8 * condition.argument),
            _instruction(_AND, condition.mask),
        ]
        for position, value in enumerate(condition.values):
            code.append(_instruction(_JUMP_IF_EQUAL, value, if_true=left - position))
        code.append(_instruction(_RETURN, rule.otherwise))
    return [*code, _instruction(_RETURN, rule.then)]


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
