"""The package that reaches a TPM, which is an optional extra."""

from keystead.errors import StartRefused


def package_missing(what: str, error: ImportError) -> StartRefused:
    """Return the refusal of `what`, a setting that needs the package."""
    return StartRefused(
        f"{what} needs the package tpm2-pytss ({error}): "
        "pip install 'keystead[tpm2]', with Debian's libtss2-dev."
    )
