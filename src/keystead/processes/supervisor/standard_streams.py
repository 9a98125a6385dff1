"""Keeps standard input, output and error open.

If one of them is closed at the start, the next file or socket would get its number. Then output
would be written there, and children would inherit it as their standard stream.
"""

import os
import sys
from typing import Final

_MODES: Final = {"stdin": "r", "stdout": "w", "stderr": "w"}


def open_standard_streams() -> None:
    """Open /dev/null for each of the descriptors 0 to 2 that is closed."""
    while (opened := os.open(os.devnull, os.O_RDWR)) < len(_MODES):
        os.set_inheritable(opened, True)
    os.close(opened)
    for number, (name, mode) in enumerate(_MODES.items()):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
