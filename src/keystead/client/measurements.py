"""What a TPM measures of an image, as the image's `contents.json` says it."""

from typing import Final

from keystead.client.json_text import parse_json
from keystead.errors import InvalidInput

BANK: Final = "sha256"
"""The bank of the registers: the hash that the TPM measures with."""
_VALUE_BYTES: Final = 32
_PREFIX: Final = "pcr"


def published_registers(contents: bytes) -> dict[int, bytes]:
    """Return the values that the registers have after this image was started.

    `contents` is the file `contents.json`. Raises InvalidInput if it has no measurements.
    """
    try:
        measured = parse_json(contents)["measurements"]
        values = {
            int(name.removeprefix(_PREFIX)): bytes.fromhex(value)
            for name, value in measured.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InvalidInput("There are no measurements: this is not a contents.json.") from None
    if not values or any(len(value) != _VALUE_BYTES for value in values.values()):
        raise InvalidInput("The measurements in contents.json are not values of SHA-256.")
    return values
