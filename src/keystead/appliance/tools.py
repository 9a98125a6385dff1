"""Runs the programs that the builder needs from the system."""

import os
import subprocess
from pathlib import Path
from typing import Final

from keystead.errors import InvalidInput

FIXED_SECONDS: Final = 315532800
"""The time of every file in an image: 1980, the first that a FAT file system can hold."""

_SYSTEM_FOLDERS: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Some of the programs are in folders that only root looks into."""
_SAME_EVERYWHERE: Final = {
    "LC_ALL": "C",
    "TZ": "UTC",
    "SOURCE_DATE_EPOCH": str(FIXED_SECONDS),
    "E2FSPROGS_FAKE_TIME": str(FIXED_SECONDS),
}


def run(*command: str | Path, given: bytes = b"", folder: Path | None = None) -> bytes:
    """Run a program that gets `given`, and return what it prints.

    The output depends on no time or locale of this machine. Raises InvalidInput if the program is
    missing or fails.
    """
    folders = f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}"
    environment = {**os.environ, "PATH": folders, **_SAME_EVERYWHERE}
    try:
        return subprocess.run(  # noqa: S603 - fixed commands of the system
            command, input=given, cwd=folder, env=environment, check=True, capture_output=True
        ).stdout
    except FileNotFoundError as error:
        raise InvalidInput(f"{command[0]} is needed to build the appliance.") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise InvalidInput(f"{command[0]} failed: {reason}") from error
