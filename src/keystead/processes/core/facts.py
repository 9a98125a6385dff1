"""What the core reads of the machine before its confinement puts files out of reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from keystead.platform.measurements import measurements
from keystead.processes.core.software import software_digest


@dataclass(frozen=True, slots=True)
class Facts:
    """What runs, and on what."""

    software: str
    """The digest of the installed software."""
    measurements: Mapping[str, str]
    """The registers of the TPM."""

    @classmethod
    def read(cls) -> Self:
        """Read them. Raises OSError if the installed software cannot be read."""
        return cls(software_digest(), measurements())
