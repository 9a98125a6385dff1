"""What can be asked of a key: a row for each use, naming the fields of its request and answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Option:
    """A field that a request may have beside the message: base64 in JSON, bytes in Python."""

    name: str


IV: Final = Option("iv")
AAD: Final = Option("aad")
"""Additional data, which is authenticated and not encrypted."""
TAG: Final = Option("tag")
SIGNATURE: Final = Option("signature")
CONTEXT: Final = Option("context")
"""What a signature is for, signed with the message: one for another purpose is not valid."""


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """One way to use a private key. There is one object for each use, compared by identity."""

    verb: str
    """Completes "this key cannot …". Also the last part of the path, and a label of the metric."""
    summary: str
    """What the API's description says of the use."""
    takes: str
    """The request's field for the message."""
    gives: Mapping[str, type[bytes | bool]]
    """The answer's fields, in the order of what a mechanism returns. Some modes give fewer."""


SIGN: Final = Use("sign", "sign a digest or a message", "message", {"signature": bytes})
DECRYPT: Final = Use("decrypt", "decrypt", "encrypted", {"decrypted": bytes})
ENCRYPT: Final = Use(
    "encrypt", "encrypt", "message", {"encrypted": bytes, "iv": bytes, "tag": bytes}
)
VERIFY: Final = Use("verify", "check a signature", "message", {"valid": bool})

USES: Final = (SIGN, DECRYPT, ENCRYPT, VERIFY)
"""Every use, in the order of the API description."""
