"""Predicts what a TPM measures when it starts an image.

The stub measures each part of the image into register 11: first its name, then its content
(systemd-stub(7), "TPM PCR Notes"). So the register's value says which image runs, on every machine.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

REGISTER: Final = 11
_ORDER: Final = (".linux", ".osrel", ".cmdline", ".initrd")
"""The order in which the stub measures, whatever the order in the image is."""


def predicted(parts: Mapping[str, Path]) -> str:
    """Return the value of the register after the start of an image with these parts, in hex."""
    value = bytes(hashlib.sha256().digest_size)
    for name in _ORDER:
        value = _extended(value, hashlib.sha256(f"{name}\0".encode()).digest())
        with parts[name].open("rb") as content:
            value = _extended(value, hashlib.file_digest(content, "sha256").digest())
    return value.hex()


def _extended(value: bytes, digest: bytes) -> bytes:
    return hashlib.sha256(value + digest).digest()
