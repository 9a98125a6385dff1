"""The package that reaches a TPM, which is an optional extra."""

from collections.abc import Iterator
from contextlib import contextmanager

from keystead.errors import KeysteadError, StartRefused


def package_missing(what: str, error: ImportError) -> StartRefused:
    """Return the refusal of `what`, a setting that needs the package."""
    return StartRefused(
        f"{what} needs the package tpm2-pytss ({error}): "
        "pip install 'keystead[tpm2]', with Debian's libtss2-dev."
    )


@contextmanager
def opening_tpm_of(setting: str) -> Iterator[None]:
    """Import the package and open the TPM inside, for `setting`.

    Raises StartRefused, which names the setting, if the package is missing or the TPM refuses it.
    """
    try:
        yield
    except ImportError as error:
        raise package_missing(setting, error) from error
    except KeysteadError as error:
        raise StartRefused(f"{setting}: {error.message}") from None
