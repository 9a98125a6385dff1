"""The quotes of the TPM that the operator's configuration names."""

from keystead.errors import KeysteadError, StartRefused
from keystead.platform.pcrs import PcrSelection
from keystead.platform.remote_quotes import Quotes
from keystead.processes.platform.settings import AttestationSettings
from keystead.processes.platform.tpm_package import package_missing


def open_quotes(wanted: AttestationSettings) -> Quotes:
    """Return the quotes of the TPM, over a connection that stays open. Raises StartRefused."""
    try:
        from keystead.platform.tpm_quotes import TpmQuotes  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise package_missing("attestation.tpm", error) from error
    try:
        return TpmQuotes(f"device:{wanted.tpm}", PcrSelection.parse(wanted.pcrs), wanted.event_log)
    except KeysteadError as error:
        raise StartRefused(f"attestation.tpm: {error.message}") from None
