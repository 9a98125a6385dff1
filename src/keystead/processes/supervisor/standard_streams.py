"""Standard input, output and error of the command, open whatever it was started with.

Without them the next file or socket that is opened would be number 0, 1 or 2, and what is printed
would go there, or what a child inherits as its own streams.
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
