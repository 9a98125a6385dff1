"""A counter in the TPM's non-volatile storage, which grows and never goes back.

Nobody can set it to a smaller value, not even its owner: if it is deleted and made again, it begins
above every value that a counter of this TPM ever had (TPM 2.0 Library, part 3, TPM2_NV_Increment).
"""

from contextlib import ExitStack
from typing import Final

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_NT,
    TPM2_RC,
    TPM2B_NV_PUBLIC,
    TPMA_NV,
    TPMS_NV_PUBLIC,
    TSS2_Exception,
)

from keystead.platform.tpm2 import Tpm, TpmFailed

INDEX: Final = 0x01804B53
"""In the range that the TCG's registry leaves to the owner of the machine."""
_BYTES: Final = 8
_ATTRIBUTES: Final = (
    TPMA_NV.AUTHREAD
    | TPMA_NV.AUTHWRITE
    | TPMA_NV.NO_DA
    | (TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT)
)
"""Without a password. Someone who raises it makes the present store look older, and no more."""
_WRITTEN: Final = _ATTRIBUTES | TPMA_NV.WRITTEN


class TpmCounter:
    """The counter, over a connection that stays open. Calls must not overlap."""

    def __init__(self, tcti: str) -> None:
        """Connect to the TPM. Raises TpmFailed."""
        self._open = ExitStack()
        self._esys = self._open.enter_context(Tpm.open(tcti)).esys

    def value(self) -> int:
        """Return the value. The counter is made if it is missing. Raises TpmFailed."""
        try:
            return self._value(self._found() or self._made())
        except TSS2_Exception as error:
            raise TpmFailed(f"the TPM says: {error}.") from error

    def increment(self) -> None:
        """Raise the value by one. Raises TpmFailed."""
        try:
            self._esys.nv_increment(self._found() or self._made())
        except TSS2_Exception as error:
            raise TpmFailed(f"the TPM says: {error}.") from error

    def close(self) -> None:
        """End the connection."""
        self._open.close()

    def _value(self, counter: ESYS_TR) -> int:
        return int.from_bytes(bytes(self._esys.nv_read(counter, _BYTES)))

    def _found(self) -> ESYS_TR | None:
        """Return the counter, or None if there is none. Raises TpmFailed for anything else."""
        try:
            found = self._esys.tr_from_tpmpublic(INDEX)
        except TSS2_Exception as error:
            if error.error == TPM2_RC.HANDLE:
                return None
            raise
        public, _ = self._esys.nv_read_public(found)
        attributes = public.nvPublic.attributes
        # An ordinary index could be set back.
        if attributes | TPMA_NV.WRITTEN != _WRITTEN or public.nvPublic.dataSize != _BYTES:
            raise TpmFailed(f"the TPM's index {INDEX:#x} is not the counter of an HSM.")
        if not attributes & TPMA_NV.WRITTEN:
            self._esys.nv_increment(found)
        return found

    def _made(self) -> ESYS_TR:
        wanted = TPMS_NV_PUBLIC(
            nvIndex=INDEX, nameAlg=TPM2_ALG.SHA256, attributes=_ATTRIBUTES, dataSize=_BYTES
        )
        made = self._esys.nv_define_space(None, TPM2B_NV_PUBLIC(nvPublic=wanted))
        # It has no value before.
        self._esys.nv_increment(made)
        return made
