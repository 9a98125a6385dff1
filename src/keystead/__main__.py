"""The command line: `keystead serve`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keystead import __version__
from keystead.errors import StartRefused
from keystead.processes.listening import Address
from keystead.processes.supervisor import ServeOptions, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        serve(ServeOptions(options.data, options.listen, options.edges))
    except StartRefused as error:
        print(f"keystead: {error.message}", file=sys.stderr)  # noqa: T201 - the answer to the user
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keystead", description="A network hardware security module in software."
    )
    parser.add_argument("--version", action="version", version=f"keystead {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser(
        "serve",
        help="run the server in the foreground",
        description="Run the server in the foreground, until SIGTERM or Ctrl-C.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serving.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where keys and configuration are kept; made if it is missing",
    )
    serving.add_argument(
        "--listen",
        type=Address.parse,
        default=Address("localhost", 8443),
        metavar="HOST:PORT",
        help="where HTTPS is served",
    )
    serving.add_argument(
        "--edges",
        type=_edge_count,
        default=max(1, (os.cpu_count() or 1) - 1),
        metavar="N",
        help="processes for TLS and HTTP",
    )
    return parser


def _edge_count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 256:  # noqa: PLR2004 - far more than there are CPU cores
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
