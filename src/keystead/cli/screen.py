"""What a command shows: its result on stdout, everything else on stderr."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from keystead.cli.exit_status import UsageError
from keystead.client.client import Json

_WIDE: Final = 10_000
"""Columns of what is no terminal: nothing is wrapped or cut off there."""

Row = Mapping[str, Json]
Advance = Callable[[int], None]
"""Tells a progress bar how much more is done."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Tables for people, or JSON."""

    is_json: bool = False

    def rows(self, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
        """Show a list; `columns` are the fields of a row and their titles, in order."""
        if self.is_json:
            _write_json(list(rows))
            return
        _write_table(
            list(columns.values()),
            [[one_line(cell(row.get(name))) for name in columns] for row in rows],
        )

    def record(self, record: Row) -> None:
        """Show one thing: its fields, one a line."""
        if self.is_json:
            _write_json(record)
            return
        _write_table([], [[name, _lines(value)] for name, value in record.items()])

    def text(self, content: str) -> None:
        """Show text as it is: PEM, for example."""
        sys.stdout.write(content if content.endswith("\n") else content + "\n")

    def done(self, sentence: str) -> None:
        """Say what was done, to a person."""
        if not self.is_json:
            say(sentence)


def say(sentence: str, *, is_alarming: bool = False) -> None:
    """Write a line to stderr, in red if it is alarming."""
    if is_alarming and "NO_COLOR" not in os.environ and sys.stderr.isatty():
        sentence = f"\033[1;31m{sentence}\033[0m"
    sys.stderr.write(sentence + "\n")


def cell(value: Json) -> str:
    """Return a value as a cell of a table; nothing in it gets at the terminal."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case list():
            text = ", ".join(map(cell, value))
        case dict():
            text = ", ".join(f"{name}={cell(one)}" for name, one in value.items())
        case _:
            text = str(value)
    return printable(text)


def _lines(value: Json) -> str:
    """Return a value as a cell in which each sentence of a list has a line of its own."""
    if isinstance(value, list) and any(isinstance(one, str) and " " in one for one in value):
        return "\n".join(map(cell, value))
    return cell(value)


def printable(text: str) -> str:
    """Return text with everything escaped that a terminal could take for a command."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode()
        for one in text
    )


def one_line(text: str) -> str:
    """Return `printable` text on one line: what others chose must not look like another row."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def write_file(path: Path | None, parts: Iterable[bytes], *, is_text: bool = False) -> None:
    """Write a result to `path`, which appears when it is complete, or to stdout if None.

    Text is for everyone; what is no text may be a secret, and its file is for its owner only.
    Raises UsageError if stdout is a terminal and the result is no text.
    """
    if path is None:
        _write_out(parts, is_text=is_text)
    elif path.exists() and not path.is_file():  # /dev/null, a pipe
        with path.open("wb") as file:
            file.writelines(parts)
    else:
        _write_new(path, parts, mode=0o666 if is_text else 0o600)


def _write_out(parts: Iterable[bytes], *, is_text: bool) -> None:
    is_terminal = sys.stdout.isatty()
    if is_terminal and not is_text:
        raise UsageError("The result is binary: name a file with -o FILE.")
    for part in parts:
        # What is text for others may be a command for a terminal.
        shown = printable(part.decode(errors="replace")).encode() if is_terminal else part
        sys.stdout.buffer.write(shown)
    sys.stdout.buffer.flush()


def _write_new(path: Path, parts: Iterable[bytes], *, mode: int) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def confirm(question: str) -> bool:
    """Ask on the terminal; yes is `y` or `yes`. Raises UsageError if nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask at: give --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextlib.contextmanager
def progress(what: str, total: int | None, *, is_bytes: bool = False) -> Iterator[Advance]:
    """Show a bar with rate and time left on stderr while work goes on, if it is a terminal.

    `total` is None if it is not known. One thing alone has no bar: it is done or not.
    """
    if total == 1 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from keystead.cli.bar import bar

    with bar(what, total, is_bytes=is_bytes) as advance:
        yield advance


@contextlib.contextmanager
def counted_file(what: str, path: Path) -> Iterator["CountedFile"]:
    """Open a file to be sent, with a progress bar of what was read of it."""
    size = path.stat().st_size
    with path.open("rb") as file, progress(what, size, is_bytes=True) as advance:
        yield CountedFile(file, size, advance)


@dataclass(frozen=True, slots=True)
class CountedFile:
    """A file that tells how much of it was read."""

    file: BinaryIO
    size: int
    advance: Advance

    def read(self, size: int) -> bytes:
        """Return the next bytes; none at the end."""
        part = self.file.read(size)
        self.advance(len(part))
        return part


def _write_json(value: Json) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _write_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _WIDE, highlight=False)
    table = Table(*titles, box=None, show_header=bool(titles), pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(one, no_wrap=not is_terminal) for one in row))
    with console.capture() as shown:
        console.print(table)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in shown.get().splitlines())
