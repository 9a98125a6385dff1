"""Writes the manual page of `keystead` to standard output, from what its commands say."""

import argparse
import os
import time
from collections.abc import Iterator

from keystead import __version__
from keystead.__main__ import COMMANDS, parser_of

COLUMNS = "78"


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield each command below `parser` that does something, in the order of its help."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to its own parsers
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield command
                yield from _commands(command)


def _preformatted(text: str) -> str:
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join([".nf", *(f"\\&{line}" for line in lines), ".fi"])


def main() -> None:
    """Write it."""
    os.environ["COLUMNS"] = COLUMNS
    parser = parser_of(COMMANDS)
    day = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"])))
    print(f'.TH KEYSTEAD 1 "{day}" "Keystead {__version__}" "User Commands"')  # noqa: T201 - the output
    print(".SH NAME\nkeystead \\- network hardware security module in software")  # noqa: T201
    print(".SH SYNOPSIS")  # noqa: T201
    print(_preformatted(parser.format_help()))  # noqa: T201
    print(".SH COMMANDS")  # noqa: T201
    for command in _commands(parser):
        print(f".SS {command.prog}\n{_preformatted(command.format_help())}")  # noqa: T201


if __name__ == "__main__":
    main()
