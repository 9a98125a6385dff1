"""Starts a process as a fresh interpreter, and reads its options in the new process."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from asyncio import selector_events
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Final, NoReturn, Protocol, TypeVar, get_origin

import msgspec

from keystead.errors import KeysteadError
from keystead.processes.sandbox import ProcessKind
from keystead.wire import control
from keystead.wire.control_messages import CannotStart

PARENT_OPTION: Final = "--parent"


class File(Protocol):
    """Anything with a file descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


def start(
    kind: ProcessKind, *, files: Sequence[tuple[str, File]], log: int, options: Iterable[str] = ()
) -> subprocess.Popen[bytes]:
    """Start `keystead.processes.<kind>` with nothing inherited but `files`.

    Each file's number is passed as an option, `--name=number`. The environment is empty. The
    process writes standard output and standard error to the descriptor `log`. Raises OSError if the
    kernel starts no process.
    """
    numbers = [f"--{name}={file.fileno()}" for name, file in files]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and modules, no outside input
        [
            sys.executable,
            "-I",
            "-m",
            f"keystead.processes.{kind}",
            f"{PARENT_OPTION}={os.getpid()}",
            *numbers,
            *options,
        ],
        pass_fds=[file.fileno() for _, file in files],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


class Options(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """The options of every process. One that may be given several times is a tuple."""

    parent: int
    control: socket.socket
    insecure_no_sandbox: bool = False

    @property
    def is_filtered(self) -> bool:
        """Whether the sandbox uses seccomp and Landlock."""
        return not self.insecure_no_sandbox


Given = TypeVar("Given", bound=Options)


def read_options(kind: type[Given], arguments: Sequence[str]) -> Given:
    """Return the options in a command line that `start` made.

    argparse would do it too, but takes 0.4 MiB of memory in each process. Raises
    msgspec.ValidationError if an option is missing, unknown, there too often or has a wrong value.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        found[name].append(value if equals else "true")
    many = {
        one.encode_name for one in msgspec.structs.fields(kind) if get_origin(one.type) is tuple
    }
    given = {
        name: values[0] if len(values) == 1 and name not in many else values
        for name, values in found.items()
    }
    return msgspec.convert(given, kind, strict=False, dec_hook=_value)


def _value(kind: type, given: str) -> object:
    return _inherited_socket(given) if kind is socket.socket else kind(given)


def _inherited_socket(number: str) -> socket.socket:
    """Return the inherited socket with this number, non-blocking."""
    end = socket.socket(fileno=int(number))
    end.setblocking(False)
    end.set_inheritable(False)
    return end


@contextlib.contextmanager
def telling_refusal(supervisor: socket.socket) -> Iterator[None]:
    """After a KeysteadError, tell the supervisor why the process cannot start, and exit."""
    try:
        yield
    except KeysteadError as error:
        control.send(supervisor, CannotStart(error.message))
        sys.exit(1)


def selector_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that never calls sendmsg(2), which can send descriptors.

    From Python 3.12 on, asyncio uses it for data that a full socket did not accept, and the sandbox
    kills a process that calls it. Without it, asyncio uses send(2), which is enough.
    """
    selector_events._HAS_SENDMSG = False  # type: ignore[attr-defined]  # noqa: SLF001
    return asyncio.SelectorEventLoop()


def run(
    main: Coroutine[None, None, int],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = selector_loop,
    at_end: Callable[[], None] | None = None,
) -> NoReturn:
    """Run `main`, then `at_end` if there is one, and exit with the status that `main` returns.

    The loop is not closed, because that would create sockets and threads, which the sandbox
    forbids.
    """
    try:
        status = asyncio.Runner(loop_factory=loop_factory).run(main)
    finally:
        if at_end is not None:
            at_end()
    sys.stderr.flush()
    os._exit(status)
