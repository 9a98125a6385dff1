"""SoftHSM2 by way of PKCS#11, in the caller's own process: the peer, without a network."""

import os
import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).parent / "peers" / "softhsm.c"
_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so")
_PIN = "1234"


class SoftHsm:
    """A token in a folder, with one key of each type that was asked for."""

    def __init__(self, folder: Path) -> None:
        """Make the token. FileNotFoundError when SoftHSM2 or a C compiler is missing."""
        module = next((path for path in _MODULES if Path(path).exists()), None)
        if module is None or shutil.which("cc") is None:
            raise FileNotFoundError("SoftHSM2 and a C compiler are needed: softhsm2, gcc")
        tokens = folder / "tokens"
        tokens.mkdir(parents=True)
        settings = folder / "softhsm2.conf"
        settings.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
        self._environment = os.environ | {"SOFTHSM2_CONF": str(settings)}
        self._program = folder / "softhsm"
        self._module = module
        self._run("cc", "-O2", "-o", str(self._program), str(_SOURCE), "-ldl", "-lpthread")
        token = ["--init-token", "--free", "--label", "bench", "--pin", _PIN, "--so-pin", _PIN]
        self._run("softhsm2-util", "--module", module, *token)

    def signatures_per_second(self, key: str, *, threads: int, seconds: float) -> float:
        """Return what so many threads make; `key` as peers/softhsm.c names them."""
        command = [str(self._program), self._module, _PIN, key, str(threads), str(seconds)]
        return float(self._run(*command).split()[0])

    def _run(self, *command: str) -> str:
        return subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True
        ).stdout
