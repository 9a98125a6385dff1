"""What several commands about keys take, and how a mechanism's name gives its mode."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keystead.cli.command import Invocation
from keystead.cli.completion import with_names
from keystead.cli.exit_status import UsageError
from keystead.cli.screen import write_file
from keystead.client.client import Json, segment, to_base64

SIGNATURE: Final = "Signature"
DECRYPTION: Final = "Decryption"
ENCRYPTION: Final = "Encryption"
DERIVATION: Final = "Derivation"
_WITHOUT_KIND: Final = {
    SIGNATURE: {name: name for name in ("AES_CMAC", "HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512")},
    DECRYPTION: {"AES_KeyUnwrap": "AES_KW", "AES_KeyUnwrap_Pad": "AES_KWP"},
    ENCRYPTION: {"AES_KeyWrap": "AES_KW", "AES_KeyWrap_Pad": "AES_KWP"},
    DERIVATION: {name: name for name in ("HKDF_SHA256", "HKDF_SHA384", "HKDF_SHA512")},
}
"""The modes of mechanisms whose names do not say what kind they are."""


def add_key_id(parser: ArgumentParser) -> None:
    """Give `parser` the argument that names a key; TAB completes it."""
    with_names(parser.add_argument("key_id", metavar="KEY"), "/keys", "id")


def add_output(parser: ArgumentParser) -> None:
    """Give `parser` the option that says where a result goes."""
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="(default: stdout)")


def key_path(call: Invocation) -> str:
    """Return the path of the key that the command is about."""
    return f"/keys/{segment(call.given.key_id)}"


def read_input(path: Path) -> bytes:
    """Return what is in a file, or on stdin for `-`."""
    return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()


def mode_of(mechanisms: Sequence[str], kind: str) -> str:
    """Return the mode of the first mechanism of this kind, which is one of the names above.

    The mechanism's name gives it: RSA_Signature_PSS_SHA256 has the mode PSS_SHA256, ECDSA_Signature
    has ECDSA, AES_Encryption_GCM has AES_GCM. Raises UsageError if the key has no such mechanism.
    """
    for name in mechanisms:
        before, found, after = name.partition(f"_{kind}")
        if found:
            return after.removeprefix("_") if before == "RSA" else before + after
        if name in _WITHOUT_KIND[kind]:
            return _WITHOUT_KIND[kind][name]
    names = ", ".join(mechanisms) or "none"
    raise UsageError(f"The key has no mechanism for this command, only: {names}.")


def give(call: Invocation, content: bytes, as_json: Json) -> None:
    """Write bytes to the file that was asked for, or show them as base64."""
    if call.given.output is not None:
        write_file(call.given.output, [content])
    elif call.screen.is_json:
        call.screen.record(as_json)
    else:
        call.screen.text(to_base64(content))
