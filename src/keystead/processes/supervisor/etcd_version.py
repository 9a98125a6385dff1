"""The version of the operator's etcd."""

import re
import subprocess
from pathlib import Path
from typing import Final

from keystead.errors import StartRefused

OLDEST: Final = (3, 5, 16)
"""Before 3.5, etcd has no Unix socket for its clients; 3.5.16 is Debian 13's."""
_PATIENCE_SECONDS: Final = 60
_VERSION: Final = re.compile(r"etcd Version: (\d{1,4})\.(\d{1,4})\.(\d{1,4})", re.ASCII)

Version = tuple[int, int, int]


def require_version(program: Path) -> Version:
    """Return the version of this etcd. Raises StartRefused if it is too old, or no etcd."""
    try:
        said = subprocess.run(  # noqa: S603 - the operator's program
            [program, "--version"],
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
    except OSError as error:
        raise StartRefused(f"The etcd {program} cannot be started: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        raise StartRefused(
            f"The etcd {program} did not say its version in {_PATIENCE_SECONDS} s."
        ) from None
    found = _VERSION.match(said.stdout.decode(errors="replace"))
    if found is None:
        raise StartRefused(f"{program} is not etcd: its --version says something else.")
    version = (int(found[1]), int(found[2]), int(found[3]))
    if version < OLDEST:
        raise StartRefused(
            f"The etcd {program} is version {text(version)}. {text(OLDEST)} or newer is needed."
        )
    return version


def text(version: Version) -> str:
    """Return the version as etcd writes it."""
    return ".".join(map(str, version))
