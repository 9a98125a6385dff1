"""What the machine's TPM signs about the software that was booted."""

from typing import Final, Protocol

from keystead.errors import WrongState
from keystead.wire.platform_messages import MachineQuote

MAX_NONCE_BYTES: Final = 32
"""The longest nonce that every TPM signs as it is."""


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
    """Return a quote. `nonce` has at most MAX_NONCE_BYTES.

    Raises WrongState if there is no TPM, and what `QuotesMachine` does.
    """
    if tpm is None:
        raise WrongState(
            "This HSM has no TPM for attestation: [attestation] in its configuration file names "
            "one."
        )
    return await tpm.quote(nonce)
