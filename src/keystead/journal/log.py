"""The log: one line an event, with the time, the severity, the process and named fields."""

import json
import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

Field = str | int | float | bool | None


class Log:
    """Writes events as lines. Callers pass names, numbers and states, never a secret."""

    def __init__(
        self, process: str, *, clock: Callable[[], float], write: Callable[[str], object]
    ) -> None:
        """`clock` gives Unix seconds; `write` takes one whole line, its newline included."""
        self._process = f"{process}[{os.getpid()}]"
        self._clock = clock
        self._write = write
        self.warnings = 0
        self.errors = 0

    def info(self, event: str, **fields: Field) -> None:
        """Log something that is as it should be."""
        self._line("info", event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Log something that an operator should look at."""
        self.warnings += 1
        self._line("warning", event, fields)

    def error(self, event: str, **fields: Field) -> None:
        """Log something that failed."""
        self.errors += 1
        self._line("error", event, fields)

    def bug(self, event: str, error: BaseException) -> None:
        """Log an error nobody foresaw: its type and where it happened.

        Its message is left out: an unforeseen error may quote what it was working on.
        """
        self.errors += 1
        frames = traceback.extract_tb(error.__traceback__)
        where = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
        self._line("bug", event, {"error": type(error).__name__, "where": where})

    def _line(self, level: str, event: str, fields: dict[str, Field]) -> None:
        time = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        details = "".join(f" {name}={_readable(value)}" for name, value in fields.items())
        self._write(f"{time} {level} {self._process} {event}{details}\n")


def _readable(value: Field) -> str:
    """Return the value on one line: as it is when it is one plain word, as JSON otherwise."""
    if isinstance(value, str) and not (value.isascii() and value.isprintable() and value):
        return json.dumps(value)
    if isinstance(value, str) and not {" ", '"', "="}.isdisjoint(value):
        return json.dumps(value)
    return str(value)
