"""Predicts what a TPM measures when it starts an image.

The stub measures each part of the image into register 11: first its name, then its content
(systemd-stub(7), "TPM PCR Notes"). So the register's value says which image runs, on every machine.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

REGISTER: Final = 11
SBAT: Final = ".sbat"
"""The version of the stub, for revocations. It comes with the stub."""
_ORDER: Final = (".linux", ".osrel", ".cmdline", ".initrd", SBAT)
"""The order in which the stub measures, whatever the order in the image is."""
_FIRST_WITH_SBAT: Final = 254
_NAME: Final = "systemd-stub ".encode("utf-16-le")
"""What stands before the version, of three digits, in a stub."""
_VERSION_BYTES: Final = 6


def measures_sbat(stub: bytes) -> bool:
    """Return whether a stub of systemd measures its `.sbat` too."""
    start = stub.index(_NAME) + len(_NAME)
    return int(stub[start : start + _VERSION_BYTES].decode("utf-16-le")) >= _FIRST_WITH_SBAT


def predicted(parts: Mapping[str, Path]) -> str:
    """Return the value of the register after the start of an image with these parts, in hex.

    `.sbat` is among them if the stub measures it.
    """
    value = bytes(hashlib.sha256().digest_size)
    for name in _ORDER:
        if name not in parts:
            continue
        value = _extended(value, hashlib.sha256(f"{name}\0".encode()).digest())
        with parts[name].open("rb") as content:
            value = _extended(value, hashlib.file_digest(content, "sha256").digest())
    return value.hex()


def _extended(value: bytes, digest: bytes) -> bytes:
    return hashlib.sha256(value + digest).digest()
