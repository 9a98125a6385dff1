"""The log of a process: its own lines on the standard error it inherited."""

import sys
import time

from keystead.journal.log import Log
from keystead.processes.sandbox import Role


def log_to_stderr(role: Role) -> Log:
    """Return the log for this process, which is the `role`."""

    def write(line: str) -> None:
        sys.stderr.write(line)
        sys.stderr.flush()

    return Log(role, clock=time.time, write=write)  # noqa: TID251 - clocks are given out here
