"""`keystead pkcs11 path`: where programs find the PKCS#11 module."""

import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from keystead.errors import NotFound

PACKAGE: Final = "keystead_pkcs11"
FILE: Final = "libkeystead_pkcs11.so"
SYSTEM: Final = Path("/usr/lib")


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead pkcs11`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    summary = "print the path of the PKCS#11 module"
    path = commands.add_parser("path", help=summary, description=f"P{summary[1:]}.")
    path.set_defaults(run=_print_path)


def find_module(system: Path = SYSTEM) -> Path:
    """Return the module: of the wheel in this environment, else of the Debian package.

    Raises NotFound if there is neither.
    """
    spec = find_spec(PACKAGE)
    folders = [*map(Path, spec.submodule_search_locations or ())] if spec else []
    folders += sorted(system.glob("*/pkcs11"))
    for folder in folders:
        if (folder / FILE).is_file():
            return folder / FILE
    raise NotFound(
        "The PKCS#11 module is not installed: install the wheel or the Debian package "
        "keystead-pkcs11."
    )


def _print_path(_: Namespace) -> None:
    sys.stdout.write(f"{find_module()}\n")
