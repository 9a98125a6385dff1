"""The PKCS#11 module beside a bare loop over rustls, which makes the same requests without it."""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.result import Reference, Row, at_least, at_most
from bench.run import Findings, Run
from bench.server import OPERATOR, OPERATOR_CREDENTIALS, PREFIX, Server
from bench.signing import SIGNING

_CRATE = Path(__file__).parents[1] / "pkcs11"
_MODULE = _CRATE / "target/release/libkeystead_pkcs11.so"
_BARE_LOOP = _CRATE / "target/release/examples/bare_loop"
_PROGRAM = Path(__file__).parent / "peers" / "softhsm.c"
_KEY = "EC_P256"
"""The key's ID, by which the program finds it: a key without a label has its ID as one."""
_THREADS = 8
_USER, _PIN = OPERATOR_CREDENTIALS


@dataclass(frozen=True)
class _Loop:
    """What a loop of signatures came to."""

    per_second: float
    median_us: float
    cpu_us: float


def measure_pkcs11(run: Run, server: Server) -> Findings:
    """Measure signatures with P-256. RuntimeError when there is no Rust or C compiler."""
    if shutil.which("cargo") is None or shutil.which("cc") is None:
        raise RuntimeError("cargo and cc are needed")
    build = ("cargo", "build", "--release", "--locked", "--quiet")
    for what in ((), ("--example", "bare_loop")):
        subprocess.run([*build, *what], cwd=_CRATE, check=True)
    server.generate(_KEY, _KEY, "ECDSA_Signature")
    loops = _Loops(run, server)
    pairs = [(loops.module(_THREADS), loops.bare(_THREADS)) for _ in range(run.rounds)]
    singles = [(loops.module(1), loops.bare(1)) for _ in range(run.rounds)]
    bare_rate = Reference("bare rustls", [bare.per_second for _, bare in pairs], at_least(0.9))
    bare_time = Reference("bare rustls", [bare.median_us for _, bare in singles], at_most(1.15))
    bare_cpu = Reference("bare rustls", [bare.cpu_us for _, bare in pairs])
    rates = [module.per_second for module, _ in pairs]
    times = [module.median_us for module, _ in singles]
    cpu = [module.cpu_us for module, _ in pairs]
    return Findings(
        [
            Row(f"PKCS#11: P-256, {_THREADS} threads", "1/s", rates, reference=bare_rate),
            Row("PKCS#11: P-256, 1 thread: p50", "µs", times, reference=bare_time),
            Row("PKCS#11: the program's CPU a signature", "µs", cpu, at_most(40), bare_cpu),
        ]
    )


class _Loops:
    """The two programs, and what they are given."""

    def __init__(self, run: Run, server: Server) -> None:
        address = urlsplit(server.origin)
        self._address = address.netloc
        self._seconds = str(run.seconds)
        self._program = run.folder / "signs"
        compiler = ("cc", "-O2", "-o", self._program, _PROGRAM, "-ldl", "-lpthread")
        subprocess.run(compiler, check=True)
        pem = ssl.get_server_certificate((str(address.hostname), address.port or 0))
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        configuration = run.folder / "pkcs11.toml"
        configuration.write_text(
            f'[[slots]]\nlabel = "bench"\ninstances = ["{server.origin}"]\n'
            f'pinned-sha256 = ["{fingerprint}"]\nuser = "{_USER}"\n'
        )
        self._environment = os.environ | {"KEYSTEAD_PKCS11_CONFIG": str(configuration)}
        body = json.dumps(SIGNING["p256"].body)
        self._request = (
            f"POST {PREFIX}/keys/{_KEY}/sign HTTP/1.1\r\nHost: {self._address}\r\n"
            f"Authorization: {OPERATOR}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def module(self, threads: int) -> _Loop:
        """Sign by way of the module."""
        command = [self._program, _MODULE, _PIN, _KEY, str(threads), self._seconds]
        return _ran(command, environment=self._environment)

    def bare(self, threads: int) -> _Loop:
        """Send the request without the module."""
        return _ran([_BARE_LOOP, self._address, str(threads), self._seconds], self._request)


def _ran(
    command: list[str | Path], given: str = "", environment: dict[str, str] | None = None
) -> _Loop:
    said = subprocess.run(
        command, input=given, env=environment, check=True, capture_output=True, text=True
    )
    return _Loop(*map(float, said.stdout.split()))
