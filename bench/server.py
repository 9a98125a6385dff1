"""A server to measure: started, provisioned and stopped by the benchmark."""

import base64
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

_READY_SECONDS = 60
_ADMIN = ("admin", "bench admin passphrase")
_OPERATOR = ("operator", "bench operator passphrase")


def _basic(user: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(user).encode()).decode()


class Server:
    """`keystead serve` on a port of its own, Operational, with an Operator."""

    def __init__(self, folder: Path, edges: int) -> None:
        command = [sys.executable, "-m", "keystead", "serve", "--listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [*command, "--data", str(folder / "data"), "--edges", str(edges)],
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("w"),
            text=True,
        )
        self.operator = _basic(_OPERATOR)
        self.url = ""

    def __enter__(self) -> Self:
        ready = self._process.stdout.readline() if self._process.stdout else ""
        if "ready" not in ready:
            raise RuntimeError(f"the server did not start: {ready!r}")
        self.url = next(word for word in ready.split() if word.startswith("https://")) + "/api/v1"
        self._call(
            "POST",
            "/provision",
            {
                "unlockPassphrase": "bench unlock passphrase",
                "adminPassphrase": _ADMIN[1],
                "systemTime": "2024-01-01T00:00:00Z",
            },
        )
        self._call(
            "PUT",
            f"/users/{_OPERATOR[0]}",
            {"realName": "Operator", "role": "Operator", "passphrase": _OPERATOR[1]},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(_READY_SECONDS)

    def generate(self, key_id: str, key_type: str, mechanism: str, length: int | None) -> None:
        """Have the server make a key."""
        wanted: dict[str, object] = {"id": key_id, "type": key_type, "mechanisms": [mechanism]}
        if length is not None:
            wanted["length"] = length
        self._call("POST", "/keys/generate", wanted)

    def _call(self, method: str, path: str, content: object) -> None:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json", "Authorization": _basic(_ADMIN)},
        )
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with urllib.request.urlopen(request, context=context, timeout=_READY_SECONDS):
            pass
