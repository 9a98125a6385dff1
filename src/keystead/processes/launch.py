"""Starting a process of ours as a fresh interpreter, and what each gets to know at its start."""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from keystead.processes.sandbox import Role

PARENT_OPTION: Final = "--parent"


class File(Protocol):
    """Anything with a file descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


def start(
    role: Role, *, files: Sequence[tuple[str, File]], options: Iterable[str] = ()
) -> subprocess.Popen[bytes]:
    """Start `keystead.processes.<role>` with nothing inherited but `files`.

    Each file's number is passed as an option, `--name=number`. The environment is empty, what it
    writes to standard output goes to standard error. Raises OSError.
    """
    numbers = [f"--{name}={file.fileno()}" for name, file in files]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and modules, no outside input
        [
            sys.executable,
            "-I",
            "-m",
            f"keystead.processes.{role}",
            f"{PARENT_OPTION}={os.getpid()}",
            *numbers,
            *options,
        ],
        pass_fds=[file.fileno() for _, file in files],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
    )


def parser(role: Role) -> argparse.ArgumentParser:
    """Return a parser for the command line that `start` makes, to be given the role's options."""
    made = argparse.ArgumentParser(prog=f"keystead.processes.{role}")
    made.add_argument(PARENT_OPTION, type=int, required=True)
    return made


def inherited_socket(number: str) -> socket.socket:
    """Return the inherited socket of this number, non-blocking; an option's type for `parser`."""
    end = socket.socket(fileno=int(number))
    end.setblocking(False)
    end.set_inheritable(False)
    return end
