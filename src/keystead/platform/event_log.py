"""The log in which the firmware keeps what it measured into the TPM at this boot."""

from pathlib import Path
from typing import Final

KERNELS: Final = "/sys/kernel/security/tpm0/binary_bios_measurements"
"""Where Linux shows the log of the first TPM."""
_MAX_BYTES: Final = 1024 * 1024


def read_event_log(path: str) -> bytes:
    """Return the log. Empty if there is none, it cannot be read, or it has more than a MiB."""
    try:
        with Path(path).open("rb") as file:
            log = file.read(_MAX_BYTES + 1)
    except OSError:
        return b""
    return log if len(log) <= _MAX_BYTES else b""
