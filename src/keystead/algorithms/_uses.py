"""What can be asked of a key: a row for each use, naming the fields of its request and answer."""

from collections.abc import Mapping
from typing import Final

import msgspec


class Option(msgspec.Struct, frozen=True):
    """A field that a request may have beside the message."""

    name: str
    """Of the argument in Python. In JSON it is in camel case."""
    kind: type = bytes
    """bytes, which are base64 in JSON; str; int; or a Struct whose fields are of these kinds."""


def field_name(option_name: str) -> str:
    """Return the name that an option has in JSON."""
    first, *others = option_name.split("_")
    return first + "".join(word.capitalize() for word in others)


class Kdf(msgspec.Struct, frozen=True, kw_only=True):
    """HKDF (RFC 5869) with the hash named `hkdf`, applied to a secret before it leaves."""

    hkdf: str
    length: int
    """In bytes."""
    salt: bytes = b""
    info: bytes = b""


IV: Final = Option("iv")
AAD: Final = Option("aad")
"""Additional data, which is authenticated and not encrypted."""
TAG: Final = Option("tag")
SIGNATURE: Final = Option("signature")
CONTEXT: Final = Option("context")
"""What a signature is for, signed with the message: one for another purpose is not valid."""
DERIVATION: Final = Option("derivation", str)
"""Which key of a tree: a path as m/44'/60'/0'/0/0."""
PUBLIC_KEY: Final = Option("public_key")
"""The other party's."""
KDF: Final = Option("kdf", Kdf)
SALT: Final = Option("salt")
INFO: Final = Option("info")
LENGTH: Final = Option("length", int)
"""Of what is derived, in bytes."""


class Use(msgspec.Struct, frozen=True, eq=False):
    """One way to use a private key. There is one object for each use, compared by identity."""

    verb: str
    """Completes "this key cannot …". Also the last part of the path, and a label of the metric."""
    summary: str
    """What the API's description says of the use."""
    takes: str | None
    """The request's field for the message; None if there is no message."""
    gives: Mapping[str, type[bytes | bool]]
    """The answer's fields, in the order of what a mechanism returns. Some modes give fewer."""
    mode: str | None = None
    """The mode of every request, if there is only one: then requests do not name it."""
    batch: str | None = None
    """The answer's field for the results of many `messages`; None: a request has one message."""
    may_stay: bool = False
    """Whether the result, a secret, may become a new key instead of the answer (`into`)."""


SIGN: Final = Use(
    "sign",
    "sign a digest or a message, or up to 1,000 of them",
    "message",
    {"signature": bytes},
    batch="signatures",
)
DECRYPT: Final = Use("decrypt", "decrypt", "encrypted", {"decrypted": bytes})
ENCRYPT: Final = Use(
    "encrypt", "encrypt", "message", {"encrypted": bytes, "iv": bytes, "tag": bytes}
)
VERIFY: Final = Use("verify", "check a signature", "message", {"valid": bool})
DERIVE: Final = Use(
    "derive", "derive a secret, or a key that stays", None, {"secret": bytes}, may_stay=True
)
DECAPSULATE: Final = Use(
    "decapsulate",
    "open a ciphertext for the secret in it",
    "ciphertext",
    {"secret": bytes},
    mode="ML_KEM",
    may_stay=True,
)
ENCAPSULATE: Final = Use(
    "encapsulate",
    "make a secret, and a ciphertext of it for the key",
    None,
    {"ciphertext": bytes, "secret": bytes},
    mode="ML_KEM",
)

USES: Final = (SIGN, DECRYPT, ENCRYPT, VERIFY, DERIVE, DECAPSULATE, ENCAPSULATE)
"""Every use, in the order of the API description."""
