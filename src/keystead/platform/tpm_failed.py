"""The failure of a TPM."""

from keystead.errors import KeysteadError


class TpmFailed(KeysteadError):
    """Raised if the TPM failed. The message begins with a small letter."""
