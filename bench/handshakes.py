"""A new TLS connection for every signature: full handshakes, none resumed."""

import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from bench.processes import cpu_seconds, cpu_us_per_request
from bench.result import Row, at_least
from bench.run import Findings, Run
from bench.server import OPERATOR, PREFIX, Server, trusting_anyone
from bench.signing import SIGNING, Signing, prepare

_THREADS = 16


def measure_handshakes(run: Run, server: Server) -> Findings:
    """Return connections a second, and how many the edge's CPU time would do on a whole core."""
    signing = SIGNING["p256"]
    prepare(server, signing)
    rates, by_edge = [], []
    cpu_us: dict[str, float] = {}
    for _ in range(run.rounds):
        before, began = cpu_seconds(server.pid), time.monotonic()
        with ThreadPoolExecutor(_THREADS) as pool:
            runs = [pool.submit(_connect_and_sign, server, signing, run) for _ in range(_THREADS)]
            done = sum(one.result() for one in runs)
        rates.append(done / (time.monotonic() - began))
        cpu_us = cpu_us_per_request(before, cpu_seconds(server.pid), done)
        by_edge.append(1e6 / cpu_us["edge"])
    case = "New TLS connection and one P-256 sign"
    return Findings(
        [
            Row(f"{case}, {_THREADS} at once, generator included", "/s", rates, cpu_us=cpu_us),
            Row(f"{case}, by the edge's CPU time", "/s a core", by_edge, at_least(1_500)),
        ]
    )


def _connect_and_sign(server: Server, signing: Signing, run: Run) -> int:
    """Do it again and again for one round; return how often."""
    context = trusting_anyone()
    address = urlsplit(server.origin)
    body = json.dumps(signing.body)
    request = (
        f"POST {PREFIX}{signing.path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n"
        f"Authorization: {OPERATOR}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    done = 0
    until = time.monotonic() + run.seconds
    while time.monotonic() < until:
        with socket.create_connection((address.hostname, address.port)) as plain:
            _sign_once(context, plain, request)
        done += 1
    return done


def _sign_once(context: ssl.SSLContext, plain: socket.socket, request: bytes) -> None:
    with context.wrap_socket(plain) as connection:
        if connection.session_reused:
            raise RuntimeError("a session was resumed")
        connection.sendall(request)
        answer = b""
        while part := connection.recv(4096):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(answer.decode(errors="replace"))
