"""`keystead console`: whether an HSM gives browsers the console that this package has."""

from argparse import ArgumentParser
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from keystead.cli.command import Commands, Invocation
from keystead.client.errors import Refused
from keystead.errors import KeysteadError

_PAGE = "/index.html"


class ConsoleDiffers(KeysteadError):
    """A file of the console is not the one of this package."""


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead console`."""
    commands = Commands(parser)
    commands.add("verify", _verify, "compare the console's files with those of this package")


def _verify(call: Invocation) -> None:
    """Raise ConsoleDiffers with the names of files that differ or are missing."""
    wanted = dict(_files_in(files("keystead") / "edge" / "console", ""))
    differing = [path for path, content in wanted.items() if _served(call, path) != content]
    if differing:
        raise ConsoleDiffers(f"The HSM's console is another: {', '.join(sorted(differing))}.")
    call.screen.done(f"All {len(wanted)} files of the console are those of this package.")


def _served(call: Invocation, path: str) -> bytes | None:
    try:
        return call.anonymous.console_file("" if path == _PAGE else path)
    except Refused:
        return None


def _files_in(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        at = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _files_in(entry, at)
        else:
            yield at, entry.read_bytes()
