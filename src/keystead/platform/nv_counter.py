"""A counter in a TPM's non-volatile storage, which grows and never goes back.

Nobody can set it to a smaller value, not even its owner: if it is deleted and made again, it begins
above every value that a counter of this TPM ever had (TPM 2.0 Library, part 3, TPM2_NV_Increment).
"""

from typing import Final

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_NT,
    TPM2_RC,
    TPM2B_NV_PUBLIC,
    TPMA_NV,
    TPMS_NV_PUBLIC,
    TSS2_Exception,
)

from keystead.platform.tpm_failed import TpmFailed

BYTES: Final = 8
_ATTRIBUTES: Final = (
    TPMA_NV.AUTHREAD
    | TPMA_NV.AUTHWRITE
    | TPMA_NV.NO_DA
    | (TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT)
)
"""Without a password, so that there is none to lose. NO_DA keeps the TPM's lockout away from it."""
_WRITTEN: Final = _ATTRIBUTES | TPMA_NV.WRITTEN
_NOT_AUTHORIZED: Final = (TPM2_RC.AUTH_FAIL, TPM2_RC.BAD_AUTH)


class NvCounter:
    """The counter at one index. The methods raise TpmFailed and TSS2_Exception."""

    def __init__(self, esys: ESAPI, index: int) -> None:
        """`esys` is an open connection to the TPM."""
        self._esys = esys
        self._index = index

    @property
    def name(self) -> bytes:
        """The name by which a policy refers to the counter, after its first increment."""
        return bytes(self._public(_WRITTEN).get_name())

    def value(self) -> int:
        """Return the value. The counter is made if it is missing."""
        handle = self.found() or self.make()
        return int.from_bytes(bytes(self._esys.nv_read(handle, BYTES)))

    def increment(self) -> None:
        """Raise the value by one. The counter is made if it is missing."""
        self._esys.nv_increment(self.found() or self.make())

    def found(self) -> ESYS_TR | None:
        """Return the counter, or None if there is none."""
        try:
            found = self._esys.tr_from_tpmpublic(self._index)
        except TSS2_Exception as error:
            if error.error == TPM2_RC.HANDLE:
                return None
            raise
        public, _ = self._esys.nv_read_public(found)
        attributes = public.nvPublic.attributes
        # An ordinary index could be set back.
        if attributes | TPMA_NV.WRITTEN != _WRITTEN or public.nvPublic.dataSize != BYTES:
            raise TpmFailed(f"the TPM's index {self._index:#x} is not the counter of an HSM.")
        if not attributes & TPMA_NV.WRITTEN:
            self._esys.nv_increment(found)
        return found

    def make(self) -> ESYS_TR:
        """Make the counter, and raise it once: it has no value before."""
        public = TPM2B_NV_PUBLIC(nvPublic=self._public(_ATTRIBUTES))
        try:
            made = self._esys.nv_define_space(None, public)
        except TSS2_Exception as error:
            if error.error not in _NOT_AUTHORIZED:
                raise
            raise TpmFailed(
                f"the TPM's owner has a password, so the counter {self._index:#x} cannot be made."
            ) from error
        self._esys.nv_increment(made)
        return made

    def _public(self, attributes: TPMA_NV) -> TPMS_NV_PUBLIC:
        return TPMS_NV_PUBLIC(
            nvIndex=self._index, nameAlg=TPM2_ALG.SHA256, attributes=attributes, dataSize=BYTES
        )
