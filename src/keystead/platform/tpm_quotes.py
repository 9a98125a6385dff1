"""Quotes: a TPM signs the values of its registers, with a nonce.

The attestation key is derived from the TPM's endorsement seed: it is the same at each start, and
outlives TPM2_Clear. It is restricted, so the TPM signs nothing with it but what the TPM itself has
made. Source: TPM 2.0 Library, part 3, TPM2_Quote.
"""

import hashlib
from contextlib import ExitStack
from typing import Final

from tpm2_pytss import (
    ESYS_TR,
    TPM2B_DATA,
    TPMA_OBJECT,
    TPML_PCR_SELECTION,
    TSS2_Exception,
)

from keystead.platform.event_log import read_event_log
from keystead.platform.pcrs import PcrSelection
from keystead.platform.tpm2 import Tpm
from keystead.platform.tpm_failed import TpmFailed
from keystead.wire.platform_messages import MachineQuote

_TEMPLATE: Final = "ecc256:ecdsa-sha256:null"
_ATTRIBUTES: Final = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA
    | TPMA_OBJECT.RESTRICTED
    | TPMA_OBJECT.SIGN_ENCRYPT
)
_ATTEMPTS: Final = 3


class TpmQuotes:
    """The attestation key, over a connection that stays open. Calls must not overlap."""

    def __init__(self, tcti: str, pcrs: PcrSelection, event_log: str) -> None:
        """Connect to the TPM, make its key, and read the log of this boot.

        Raises TpmFailed if there is no TPM, or it does not have these registers.
        """
        self._pcrs = pcrs
        self._event_log = read_event_log(event_log)
        with ExitStack() as opened:
            self._tpm = opened.enter_context(Tpm.open(tcti))
            self._tpm.require_active(pcrs)
            self._key, public = self._tpm.make_primary(
                _TEMPLATE,
                _ATTRIBUTES,
                ESYS_TR.ENDORSEMENT,
                complaint="the TPM's endorsement hierarchy has a password, so the attestation "
                "key cannot be made.",
            )
            self.public_der: Final = bytes(public.to_der())
            """SubjectPublicKeyInfo."""
            self._open = opened.pop_all()

    def quote(self, nonce: bytes) -> MachineQuote:
        """Return the registers, signed with `nonce` of at most 32 bytes.

        Raises TpmFailed if the TPM refuses it, or the registers change at each attempt.
        """
        try:
            # A register may be extended between the reading and the quote.
            for _ in range(_ATTEMPTS):
                found = self._try_quote(nonce)
                digest = hashlib.sha256(b"".join(found.pcr.values())).digest()
                if found.quote.endswith(digest):
                    return found
        except TSS2_Exception as error:
            raise TpmFailed(f"the TPM says: {error}.") from error
        raise TpmFailed("the registers of the TPM change all the time.")

    def close(self) -> None:
        """End the connection."""
        self._open.close()

    def _try_quote(self, nonce: bytes) -> MachineQuote:
        values = self._tpm.pcr_values(self._pcrs)
        selection = TPML_PCR_SELECTION.parse(str(self._pcrs))
        quoted, signature = self._tpm.esys.quote(self._key, selection, TPM2B_DATA(nonce))
        return MachineQuote(
            quote=bytes(quoted),
            signature=signature.marshal(),
            bank=self._pcrs.bank,
            pcr=dict(zip(map(str, self._pcrs.registers), values, strict=True)),
            event_log=self._event_log,
        )
