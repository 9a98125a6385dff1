"""Which software runs: a digest over the files that are installed, for attestations."""

import hashlib
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[2]


def software_digest(package: Path = PACKAGE) -> str:
    """Return the SHA-256 of what `sha256sum` prints for the package's files, in hexadecimal digits.

    The files are in the order of their names as bytes. Bytecode is left out, because Python makes
    it. docs/attestation.md has the command that gives the same.
    """
    files = sorted(
        f"{package.name}/{file.relative_to(package).as_posix()}"
        for file in package.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    )
    lines = (f"{_digest(package.parent / name)}  {name}\n" for name in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
