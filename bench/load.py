"""A load of one request over and over, made by wrk."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """\
wrk.method = "POST"
wrk.headers["Authorization"] = "{authorization}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[{body}]]
"""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """What wrk measured; latencies in milliseconds, `errors` counts all but 2xx and 3xx."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def run_wrk(url: str, *, body: str, authorization: str, connections: int, seconds: int) -> Load:
    """Return what `connections` keep-alive connections got in `seconds`."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.format(authorization=authorization, body=body))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency"]
        output = subprocess.run(
            [*command, "-s", Path(script.name), url], check=True, capture_output=True, text=True
        ).stdout
    return Load(
        per_second=float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        p50_ms=_percentile(50, output),
        p99_ms=_percentile(99, output),
        errors=_errors(output),
    )


def _find(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise ValueError(f"wrk said nothing like {pattern}:\n{output}")
    return found[1]


def _percentile(percent: int, output: str) -> float:
    text = _find(rf"{percent}%\s+([\d.]+[a-z]+)", output)
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def _errors(output: str) -> int:
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output
    )
    return int(refused[1] if refused else 0) + sum(
        int(n) for n in (broken.groups() if broken else ())
    )
