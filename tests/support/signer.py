"""A user who is in already and signs all the time: what he notices of what others do."""

import base64
import threading
import time
from typing import Self

from tests.support.server import Server, basic, processor_seconds


class Signer:
    """Signs with the P-256 key `key` as the user `signer`, until its block ends."""

    def __init__(self, server: Server) -> None:
        self._connection = server.connect()
        self._headers = {
            "Authorization": basic("signer", server.passphrases["signer"]),
            "Content-Type": "application/json",
        }
        message = base64.b64encode(bytes(32)).decode()
        self._body = f'{{"mode":"ECDSA","message":"{message}"}}'
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._core = server.child("core")
        self.seconds: list[float] = []
        self.core_seconds: list[float] = []
        """The processor time of the core meanwhile, however busy the machine is."""
        self.statuses: set[int] = set()

    def sign(self) -> None:
        began, core_began = time.perf_counter(), processor_seconds(self._core)
        self._connection.request("POST", "/api/v1/keys/key/sign", self._body, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        self.seconds.append(time.perf_counter() - began)
        self.core_seconds.append(processor_seconds(self._core) - core_began)
        self.statuses.add(answer.status)

    def _run(self) -> None:
        while not self._stopping.wait(0.002):
            self.sign()

    def __enter__(self) -> Self:
        self.sign()
        self.seconds.clear()
        self.core_seconds.clear()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._connection.close()

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]
