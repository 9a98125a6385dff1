"""Completion with TAB: scripts for the shells, and names that the HSM is asked for."""

import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable
from typing import Final

from keystead.cli import connection
from keystead.client.client import segment
from keystead.errors import KeysteadError

SHELLS: Final = ("bash", "zsh", "fish")
SECONDS: Final = 2.0
"""How long TAB waits for the HSM."""

Completer = Callable[..., list[str]]


def add_commands(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead completion` takes."""
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=_print_script)


def complete(parser: ArgumentParser) -> None:
    """Answer the shell, and end the process; nothing is ever asked for at the terminal."""
    import argcomplete

    with open("/dev/null") as nothing:  # noqa: PTH123 - as stdin, which is no path
        sys.stdin = nothing
        argcomplete.autocomplete(parser, always_complete_options="long")


def with_names(argument: Action, path: str, field: str) -> None:
    """Have TAB complete an argument with the `field` of all that the HSM lists at `path`."""
    vars(argument)["completer"] = _names(path, field)  # Where argcomplete looks for it.


def _names(path: str, field: str) -> Completer:
    def names(prefix: str, parsed_args: Namespace, **_: object) -> list[str]:
        parsed_args.timeout = SECONDS
        # An HSM has up to a million keys: it leaves out the others itself.
        filtered = f"{path}/{segment(prefix)}*" if prefix and path == "/keys" else path
        try:
            where = connection.resolve(parsed_args)
            with where.client(is_anonymous=False, connections=1) as hsm:
                return [str(one[field]) for one in hsm.get(filtered)]
        except KeysteadError:
            return []

    return names


def _print_script(given: Namespace) -> None:
    from argcomplete import shell_integration

    sys.stdout.write(shell_integration.shellcode(["keystead"], shell=given.shell))
