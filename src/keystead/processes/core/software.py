"""Which software runs: a digest over the files that are installed, for attestations."""

import hashlib
import os
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[2]


def software_digest(package: Path = PACKAGE) -> str:
    """Return the SHA-256 of what `sha256sum` prints for the package's files, in hexadecimal digits.

    The files are in the order of their names as bytes. Bytecode is left out, because Python makes
    it. docs/attestation.md has the command that gives the same.
    """
    parent = f"{package.parent}/"
    files = sorted(
        f"{folder.removeprefix(parent)}/{name}"
        for folder, _, names in os.walk(package)
        for name in names
        if not name.endswith(".pyc")
    )
    lines = (f"{_digest(parent + name)}  {name}\n" for name in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(file: str) -> str:
    with Path(file).open("rb") as content:
        return hashlib.sha256(content.read()).hexdigest()
