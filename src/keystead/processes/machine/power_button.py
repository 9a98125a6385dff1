"""The power button, as ACPI reports it."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_EVENT: Final = struct.Struct("16xHHi")
"""A `struct input_event` of input.h on a 64-bit machine, without its time."""
_KEY: Final = 1
_POWER: Final = 116
_PRESSED: Final = 1
_EVENTS_AT_ONCE: Final = 64


def open_all(folder: Path = Path("/dev/input")) -> Iterator[int]:
    """Yield a descriptor of every input device: one of them is the button."""
    for device in sorted(folder.glob("event*")):
        yield os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def is_pressed(descriptor: int) -> bool:
    """Return whether the device reports the button. Every other key is ignored."""
    data = os.read(descriptor, _EVENT.size * _EVENTS_AT_ONCE)
    whole = len(data) // _EVENT.size * _EVENT.size
    return (_KEY, _POWER, _PRESSED) in _EVENT.iter_unpack(data[:whole])
