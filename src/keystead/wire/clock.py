"""The clock that the platform and the core share, to say how old what a member knows is."""

import time


def seconds_since_boot() -> float:
    """Return the seconds since the machine was started.

    They go on while the machine is suspended: the other members do, too.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
