"""What the machine's TPM signs about the software that was booted."""

from typing import Final, Protocol

from keystead.errors import InvalidInput, WrongState
from keystead.wire.platform_messages import MachineQuote

MIN_NONCE_BYTES: Final = 8
MAX_NONCE_BYTES: Final = 32
"""What every TPM signs as it is."""


class QuotesMachine(Protocol):
    """The TPM of this machine and its attestation key."""

    public_der: bytes
    """The attestation key, SubjectPublicKeyInfo in DER."""

    async def quote(self, nonce: bytes) -> MachineQuote:
        """Return a quote.

        Raises Overloaded if too many wait or the TPM fails, and StoreUnavailable if the platform
        is gone.
        """
        ...


async def quote(tpm: QuotesMachine | None, nonce: bytes) -> MachineQuote:
    """Return a quote. Raises WrongState without a TPM, and what `QuotesMachine` does."""
    if not MIN_NONCE_BYTES <= len(nonce) <= MAX_NONCE_BYTES:
        raise InvalidInput(f"nonce must have {MIN_NONCE_BYTES} to {MAX_NONCE_BYTES} bytes.")
    if tpm is None:
        raise WrongState("This HSM has no TPM for attestation.")
    return await tpm.quote(nonce)
