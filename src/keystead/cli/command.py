"""What the commands are made of: parsers, the options that all have, and one invocation.

A command is a function of an `Invocation`. A module of commands is imported only when a command of
it is called (`keystead.__main__`), so that the others start fast.
"""

import contextlib
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from keystead.cli import connection
from keystead.cli.exit_status import STATE_ADVICE, Declined, ExitStatus, advice, status_of
from keystead.cli.screen import Screen, confirm, printable, say
from keystead.client.client import Client
from keystead.client.errors import ClientError, WrongState
from keystead.errors import KeysteadError

Run = Callable[["Invocation"], int | None]


class Commands:
    """The commands below a parser, one of which must be given."""

    def __init__(self, parser: ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(self, name: str, run: Run, summary: str) -> ArgumentParser:
        """Add a command for an HSM; return its parser, for the options of its own."""
        parser = self.add_group(name, summary)
        run_by(parser, run)
        return parser

    def add_group(self, name: str, summary: str) -> ArgumentParser:
        """Add a command that has commands below it; return its parser."""
        return self._parsers.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )


@dataclass
class Invocation:
    """One call of a command: what was given, the HSM that it is for, and what it shows."""

    given: Namespace
    screen: Screen
    connections: int = 8
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def client(self) -> Client:
        """The HSM, with the user's credentials."""
        return self._client(is_anonymous=False)

    @cached_property
    def anonymous(self) -> Client:
        """The HSM, for what needs no credentials."""
        return self._client(is_anonymous=True)

    def connected(self) -> Client:
        """Return the client that was used last, without asking for anything again."""
        return self.client if "client" in vars(self) else self.anonymous

    def require_consent(self, question: str) -> None:
        """Ask before something dangerous; `--yes` has answered already.

        Raises Declined if the answer is no.
        """
        if not self.given.yes and not confirm(question):
            raise Declined("Nothing was done.")

    def close(self) -> None:
        """Close the connections."""
        self._closing.close()

    def _client(self, *, is_anonymous: bool) -> Client:
        where = connection.resolve(self.given)
        return self._closing.enter_context(
            where.client(is_anonymous=is_anonymous, connections=self.connections)
        )


def run_by(parser: ArgumentParser, run: Run) -> None:
    """Have `run` do what `parser` reads, and give it the options that all commands have."""
    parser.set_defaults(run=lambda given: _run(run, given))
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    connection.add_options(parser)


def run_offline(parser: ArgumentParser, run: Callable[[Namespace], int | None]) -> None:
    """Have `run` do what `parser` reads, without an HSM."""
    parser.set_defaults(run=lambda given: _ended(lambda: run(given), advice))
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def add_yes(parser: ArgumentParser) -> None:
    """Give `parser` the option that answers the question before a dangerous command."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _run(run: Run, given: Namespace) -> int:
    invocation = Invocation(given, Screen(is_json=given.json))
    try:
        return _ended(lambda: run(invocation), lambda error: _next_step(invocation, error))
    finally:
        invocation.close()


def _ended(run: Callable[[], int | None], next_step: Callable[[KeysteadError], str]) -> int:
    """Run a command to its end; say what went wrong, if anything; return the exit status."""
    try:
        status = run() or ExitStatus.DONE
        sys.stdout.flush()
    except KeysteadError as error:
        say(f"keystead: {printable(error.message)}")
        if hint := next_step(error):
            say(hint)
        return status_of(error)
    except KeyboardInterrupt:
        say("keystead: interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:  # Whoever reads has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.DONE
    except OSError as error:
        say(f"keystead: {error.filename or 'The file'}: {error.strerror}.")
        return ExitStatus.REFUSED
    return status


def _next_step(invocation: Invocation, error: KeysteadError) -> str:
    if not isinstance(error, WrongState):
        return advice(error)
    try:
        return STATE_ADVICE.get(invocation.connected().state(), "")
    except ClientError:
        return ""
