"""The quotes of the TPM that the operator's configuration names."""

from keystead.errors import StartRefused
from keystead.journal.log import Log
from keystead.platform.pcrs import PcrSelection
from keystead.platform.remote_quotes import Quotes
from keystead.processes.platform.settings import AttestationSettings
from keystead.processes.platform.tpm_package import opening_tpm_of


def quotes_if_any(wanted: AttestationSettings | None, log: Log) -> Quotes | None:
    """Return the quotes that are configured. Raises StartRefused if they do not work and must."""
    if wanted is None:
        return None
    try:
        return open_quotes(wanted)
    except StartRefused as refusal:
        if not wanted.is_optional:
            raise
        log.warning("the machine cannot be attested", reason=refusal.message)
        return None


def open_quotes(wanted: AttestationSettings) -> Quotes:
    """Return the quotes of the TPM, over a connection that stays open.

    Raises StartRefused if the TPM or its package is missing, or the TPM refuses it.
    """
    with opening_tpm_of("attestation.tpm"):
        from keystead.platform.tpm_quotes import TpmQuotes  # noqa: PLC0415 - an optional extra

        return TpmQuotes(f"device:{wanted.tpm}", PcrSelection.parse(wanted.pcrs), wanted.event_log)
