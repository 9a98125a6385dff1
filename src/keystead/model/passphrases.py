"""Passphrases: NetHSM's rule on their length, and a refusal of the most common new ones."""

import re
import string
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from keystead.errors import InvalidInput
from keystead.model.secret import Secret

MIN_BYTES: Final = 10
MAX_BYTES: Final = 200

_DECORATION: Final = string.digits + string.punctuation


def parse_passphrase(text: str, *, name: str = "passphrase") -> Secret:
    """Return a passphrase of 10 to 200 bytes of UTF-8. Raises InvalidInput, which names `name`."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} is not valid UTF-8.") from error
    if not MIN_BYTES <= len(encoded) <= MAX_BYTES:
        raise InvalidInput(f"{name} must have {MIN_BYTES} to {MAX_BYTES} bytes.")
    return Secret(encoded)


def parse_new_passphrase(text: str, *, name: str = "passphrase") -> Secret:
    """Return a new passphrase. Raises InvalidInput also if it is one of the most common.

    That check ignores case, and digits and punctuation at the end.
    """
    passphrase = parse_passphrase(text, name=name)
    plain = text.lower()
    if plain in _COMMONEST or plain.rstrip(_DECORATION) in _COMMONEST:
        raise InvalidInput(
            f"{name} is one of the commonest passwords, which are guessed first. The operator can "
            "allow them: common_passphrases = true under [compatibility] in the configuration file."
        )
    return passphrase


def _commonest() -> frozenset[str]:
    """Return the passwords of zxcvbn's list that are long enough to be passphrases, in lower case.

    The list is the only thing that zxcvbn is installed for. Its file is read as text: none of its
    code runs here. Raises LookupError if the file has another form.
    """
    spec = find_spec("zxcvbn")
    folder = "" if spec is None or spec.origin is None else Path(spec.origin).parent
    table = Path(folder, "frequency_lists.py")
    ranked = re.search(r'"passwords": "([^"]+)"', table.read_text(encoding="utf-8"))
    if ranked is None:
        raise LookupError(f"{table} has no list of passwords")
    # Split at commas, the 30,000 words would leave two MiB of holes in the memory of the core.
    return frozenset(re.findall(rf"[^,]{{{MIN_BYTES},}}", ranked[1]))


# Read at import, because no file can be read once the process is locked down.
_COMMONEST: Final = _commonest()
