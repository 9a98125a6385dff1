"""Loads the code of a process faster than Python does by itself."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage meanwhile, and never look into what is there at the end.

    What is imported stays. To look for garbage in it takes a tenth of the time that importing
    takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
