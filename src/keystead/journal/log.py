"""The log. Each line is one event in JSON, with its time, level, process, name and fields."""

import os
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from enum import IntEnum
from functools import lru_cache
from json import JSONEncoder
from pathlib import Path
from typing import Final

from keystead.model.timestamps import in_milliseconds

Field = str | int | float | bool | None

REQUEST: Final = ContextVar[int | None]("request", default=None)
"""The number of the present request, which every event has as a field."""


class Level(IntEnum):
    """The importance of an event. The numbers are syslog's severities (RFC 5424, 6.2.1)."""

    DEBUG = 7
    INFO = 6
    WARNING = 4
    ERROR = 3


_NAMES: Final = {level: level.name.lower() for level in Level}
"""The names of the levels. To look one up is faster than the name of an Enum with Python 3.11."""
_URGENT: Final = Level.WARNING
_MOST_HELD: Final = 64
"""The most lines in one write."""
_KNOWN: Final = frozenset({"time", "level", "process", "pid", "event"})
_KNOWN_OF_REQUESTS: Final = _KNOWN | {"request"}

# ASCII only, so that every terminal and reader sees exactly one line.
_as_json: Final = JSONEncoder().encode
_name: Final = lru_cache(maxsize=256)(_as_json)
"""Returns a name of an event or a field as JSON."""


class Log:
    """Writes events as lines. Callers pass names, numbers and states, never a secret."""

    def __init__(
        self, process: str, *, clock: Callable[[], float], write: Callable[[str], object]
    ) -> None:
        """`clock` gives Unix seconds. `write` takes one whole line with its newline."""
        self._process = f'"process": {_as_json(process)}, "pid": {os.getpid()}'
        self._clock = clock
        self._write = write
        self.threshold = Level.INFO
        """Events that are less important than this level are dropped."""
        self.forward: Callable[[Level, str], None] | None = None
        """Gets every line too, without its newline. It must not log."""
        self._call_soon: Callable[[Callable[[], None]], object] | None = None
        self._held: list[str] = []
        self.warnings = 0
        self.errors = 0

    def gather(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """Write lines of normal operation once a turn of the event loop from now on.

        `call_soon` is the event loop's. Each write wakes whoever reads the log, and on a machine
        with few CPUs that one takes the writer's. A warning or an error is written at once, with
        all before it: it may be the last that the process does. Only the event loop's thread may
        log then.
        """
        self._call_soon = call_soon

    def flush(self) -> None:
        """Write the lines that wait for the end of the turn."""
        held, self._held = self._held, []
        if held:
            self._write("".join(held))

    def debug(self, event: str, **fields: Field) -> None:
        """Log an event that helps to find a fault."""
        self._line(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """Log an event of normal operation."""
        self._line(Level.INFO, event, fields)

    def always(self, event: str, **fields: Field) -> None:
        """Log an event as `info`, whatever the threshold: a receiver keeps it as evidence."""
        self._write_line(Level.INFO, event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Log an event that an operator should look at."""
        self.warnings += 1
        self._line(Level.WARNING, event, fields)

    def error(self, event: str, **fields: Field) -> None:
        """Log a failure."""
        self.errors += 1
        self._line(Level.ERROR, event, fields)

    def bug(self, event: str, error: BaseException) -> None:
        """Log an unexpected error: its type and where it happened.

        Its message is left out, because it may quote secret data.
        """
        frames = traceback.extract_tb(error.__traceback__)
        where = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
        self.error(event, error=type(error).__name__, where=where)

    def _line(self, level: Level, event: str, fields: dict[str, Field]) -> None:
        if level <= self.threshold:
            self._write_line(level, event, fields)

    def _write_line(self, level: Level, event: str, fields: dict[str, Field]) -> None:
        request = REQUEST.get()
        known = _KNOWN if request is None else _KNOWN_OF_REQUESTS
        line = "".join(
            [
                f'{{"time": "{in_milliseconds(self._clock())}+00:00", "level": "{_NAMES[level]}", ',
                f'{self._process}, "event": {_name(event)}',
                "" if request is None else f', "request": {request}',
                *[
                    f", {_name(name)}: {_text(value)}"
                    for name, value in fields.items()
                    if name not in known
                ],
                "}",
            ]
        )
        self._hold(level, line + "\n")
        if self.forward is not None:
            self.forward(level, line)

    def _hold(self, level: Level, line: str) -> None:
        if self._call_soon is None:  # Several threads may log: nothing may be between them.
            self._write(line)
            return
        if not self._held:
            self._call_soon(self.flush)
        self._held.append(line)
        if level <= _URGENT or len(self._held) >= _MOST_HELD:
            self.flush()


def _text(value: Field) -> str:
    # The encoder takes ten times as long for a number as for a text.
    return str(value) if type(value) is int else _as_json(value)
