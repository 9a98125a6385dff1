"""The counter in the TPM that the journal follows."""

from contextlib import ExitStack
from typing import Final

from tpm2_pytss import TSS2_Exception

from keystead.platform.nv_counter import NvCounter
from keystead.platform.tpm2 import Tpm
from keystead.platform.tpm_failed import TpmFailed

INDEX: Final = 0x01804B53
"""In the range that the TCG's registry leaves to the owner of the machine. Someone who raises the
counter makes the present store look older, and no more."""


class TpmCounter:
    """The counter, over a connection that stays open. Calls must not overlap."""

    def __init__(self, tcti: str) -> None:
        """Connect to the TPM. Raises TpmFailed if there is none, or its counter cannot be used."""
        self._open = ExitStack()
        tpm = self._open.enter_context(Tpm.open(tcti))
        self._counter = NvCounter(tpm.esys, INDEX)

    def value(self) -> int:
        """Return the value. The counter is made if it is missing.

        Raises TpmFailed if the TPM refuses it.
        """
        try:
            return self._counter.value()
        except TSS2_Exception as error:
            raise TpmFailed(f"the TPM says: {error}.") from error

    def increment(self) -> None:
        """Raise the value by one. Raises TpmFailed if the TPM refuses it."""
        try:
            self._counter.increment()
        except TSS2_Exception as error:
            raise TpmFailed(f"the TPM says: {error}.") from error

    def close(self) -> None:
        """End the connection."""
        self._open.close()
