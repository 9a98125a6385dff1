"""The machine's openssl command, where it knows ML-DSA: from 3.5 on, as on Debian 13."""

import shutil
import subprocess
from typing import Final

OPENSSL: Final = shutil.which("openssl")


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    """Return what openssl prints. Raises CalledProcessError if it fails."""
    assert OPENSSL is not None
    command = [OPENSSL, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=True)  # noqa: S603  ours
    return done.stdout + done.stderr


def knows_ml_dsa() -> bool:
    """Whether there is an openssl command that signs with ML-DSA."""
    return OPENSSL is not None and b"ML-DSA" in openssl("list", "-signature-algorithms")
