"""What the core reads of the machine before its confinement puts files out of reach."""

from collections.abc import Mapping
from typing import Self

import msgspec

from keystead.platform.measurements import measurements
from keystead.processes.core.software import software_digest


class Facts(msgspec.Struct, frozen=True):
    """What runs, and on what."""

    software: str
    """The digest of the installed software."""
    measurements: Mapping[str, str]
    """The registers of the TPM."""
    checks: int
    """How many passphrases can be checked at once, as the supervisor has found."""

    @classmethod
    def read(cls, checks: int) -> Self:
        """Read the others. Raises OSError if the installed software cannot be read."""
        return cls(software_digest(), measurements(), checks)
