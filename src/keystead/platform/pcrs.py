"""Which of the TPM's platform configuration registers a secret is bound to."""

import re
from dataclasses import dataclass
from typing import Final, Self

from keystead.errors import InvalidInput

_NONE: Final = "none"
_SELECTION: Final = re.compile(r"(sha256|sha384|sha512):(\d{1,2}(?:,\d{1,2})*)", re.ASCII)
_LAST_PCR: Final = 23


@dataclass(frozen=True, slots=True)
class PcrSelection:
    """Registers of one bank, in ascending order. With none, any system may use the secret."""

    bank: str
    registers: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:7`, `sha384:0,2,7` or `none`. Raises InvalidInput for anything else."""
        if text == _NONE:
            return cls("sha256", ())
        found = _SELECTION.fullmatch(text)
        registers = () if found is None else tuple(int(number) for number in found[2].split(","))
        if found is None or max(registers) > _LAST_PCR or len(set(registers)) < len(registers):
            raise InvalidInput(
                f"{text!r} is not a selection of PCRs: none, or a bank (sha256, sha384, sha512) "
                f"and different numbers up to {_LAST_PCR}, like sha256:7."
            )
        return cls(found[1], tuple(sorted(registers)))

    def __str__(self) -> str:
        if not self.registers:
            return _NONE
        return f"{self.bank}:{','.join(map(str, self.registers))}"
