"""Starts a process as a fresh interpreter, and reads its options in the new process."""

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from asyncio import selector_events
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Final, NoReturn, Protocol

from keystead.errors import KeysteadError
from keystead.processes.sandbox import INSECURE_OPTION, ProcessKind
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


def parser(kind: ProcessKind) -> argparse.ArgumentParser:
    """Return a parser for the command line that `start` makes, to be given the kind's options."""
    made = argparse.ArgumentParser(prog=f"keystead.processes.{kind}")
    made.add_argument(PARENT_OPTION, type=int, required=True)
    made.add_argument("--control", type=inherited_socket, required=True)
    made.add_argument(INSECURE_OPTION, dest="is_filtered", action="store_false")
    return made


def inherited_socket(number: str) -> socket.socket:
    """Return the inherited socket with this number, non-blocking. Used as an option's type."""
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
) -> NoReturn:
    """Run `main`, and exit with the status that it returns.

    The loop is not closed, because that would create sockets and threads, which the sandbox
    forbids.
    """
    status = asyncio.Runner(loop_factory=loop_factory).run(main)
    sys.stderr.flush()
    os._exit(status)
