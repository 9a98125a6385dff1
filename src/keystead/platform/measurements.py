"""What the machine's TPM has measured: firmware, settings and what was booted."""

from pathlib import Path
from typing import Final

REGISTERS: Final = Path("/sys/class/tpm/tpm0/pcr-sha256")
"""Where Linux shows the registers of the first TPM, a file each."""
_STATIC: Final = range(16)
"""Those that only a restart of the machine sets back."""


def measurements(folder: Path = REGISTERS) -> dict[str, str]:
    """Return the values of the platform configuration registers, in hexadecimal, by number.

    Empty where there is no TPM, or the TPM does not answer.
    """
    try:
        return {
            str(number): (folder / str(number)).read_text().strip().lower() for number in _STATIC
        }
    except OSError:
        return {}
