"""The PKCS#11 module beside a bare loop over rustls, which makes the same requests without it.

And how long a program takes to find very many keys.
"""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.many_keys import filled
from bench.result import Reference, Row, at_least, at_most
from bench.run import Findings, Run
from bench.server import OPERATOR, OPERATOR_CREDENTIALS, PREFIX, Server
from bench.signing import SIGNING

_CRATE = Path(__file__).parents[1] / "pkcs11"
_MODULE = _CRATE / "target/release/libkeystead_pkcs11.so"
_BARE_LOOP = _CRATE / "target/release/examples/bare_loop"
_SIGNER = Path(__file__).parent / "peers" / "softhsm.c"
_FINDER = Path(__file__).parent / "peers" / "find_keys.c"
_KEY = "EC_P256"
"""The key's ID, by which the program finds it: a key without a label has its ID as one."""
_THREADS = 8
_FOUND_KEYS = 10_000
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
            _found(run),
        ]
    )


def _found(run: Run) -> Row:
    """Return how long a program takes to find all keys of a full store, and to read of each."""
    data, _ = filled(run.folder / "found", _FOUND_KEYS)
    finder = _compiled(_FINDER, run.folder)
    with Server(data) as server:
        environment = _environment(run.folder, server)
        rounds = [_finding_seconds(finder, environment) for _ in range(run.rounds)]
    case = f"PKCS#11: {_FOUND_KEYS:,} keys found, with attributes"
    return Row(case, "s", rounds, at_most(1))


def _finding_seconds(finder: Path, environment: dict[str, str]) -> float:
    keys, seconds = _ran([finder, _MODULE, _PIN], environment=environment)
    if keys != _FOUND_KEYS:
        raise RuntimeError(f"{keys:.0f} keys were found, not {_FOUND_KEYS}")
    return seconds


def _compiled(source: Path, folder: Path) -> Path:
    program = folder / source.stem
    compiler = ("cc", "-O2", "-o", program, source, "-ldl", "-lpthread")
    subprocess.run(compiler, check=True)
    return program


def _environment(folder: Path, server: Server) -> dict[str, str]:
    """Return the environment of a program whose module talks to this server."""
    address = urlsplit(server.origin)
    pem = ssl.get_server_certificate((str(address.hostname), address.port or 0))
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    configuration = folder / "pkcs11.toml"
    configuration.write_text(
        f'[[slots]]\nlabel = "bench"\ninstances = ["{server.origin}"]\n'
        f'pinned-sha256 = ["{fingerprint}"]\nuser = "{_USER}"\n'
    )
    return os.environ | {"KEYSTEAD_PKCS11_CONFIG": str(configuration)}


class _Loops:
    """The two programs, and what they are given."""

    def __init__(self, run: Run, server: Server) -> None:
        self._address = urlsplit(server.origin).netloc
        self._seconds = str(run.seconds)
        self._program = _compiled(_SIGNER, run.folder)
        self._environment = _environment(run.folder, server)
        body = json.dumps(SIGNING["p256"].body)
        self._request = (
            f"POST {PREFIX}/keys/{_KEY}/sign HTTP/1.1\r\nHost: {self._address}\r\n"
            f"Authorization: {OPERATOR}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def module(self, threads: int) -> _Loop:
        """Sign by way of the module."""
        command = [self._program, _MODULE, _PIN, _KEY, str(threads), self._seconds]
        return _Loop(*_ran(command, environment=self._environment))

    def bare(self, threads: int) -> _Loop:
        """Send the request without the module."""
        command = [_BARE_LOOP, self._address, str(threads), self._seconds]
        return _Loop(*_ran(command, self._request))


def _ran(
    command: list[str | Path], given: str = "", environment: dict[str, str] | None = None
) -> list[float]:
    """Run a program; return the numbers that it prints."""
    said = subprocess.run(
        command, input=given, env=environment, check=True, capture_output=True, text=True
    )
    return [float(word) for word in said.stdout.split()]
