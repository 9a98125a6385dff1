"""A crash of this process between two of its disk operations."""

import os

STEPS = ("fsync", "unlink", "rename", "open", "write", "chmod")


def die_at(step: int) -> None:
    """End this process, with status 42, before its disk operation number `step`."""
    left = step

    def counted(call):
        def wrapper(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(42)
            return call(*arguments, **options)

        return wrapper

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
