"""nginx with OpenSSL's engine: its workers are forks of the process that loads the keys."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.pkcs11.conftest import Token, need
from tests.pkcs11.test_applications import OBJECT, engine
from tests.support.daemons import free_port
from tests.support.server import wait_until

CONFIGURATION = """
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log;
env KEYSTEAD_PKCS11_CONFIG;
env PKCS11_MODULE_PATH;
env OPENSSL_CONF;
ssl_engine pkcs11;
events {{ worker_connections 64; }}
http {{
    access_log off;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/EC_P256.pem;
        ssl_certificate_key "engine:pkcs11:{p256}";
        ssl_certificate {folder}/RSA.pem;
        ssl_certificate_key "engine:pkcs11:{rsa}";
        location / {{ return 200 "served\\n"; }}
    }}
}}
"""


INITIALIZES = """
openssl_conf = start
[start]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
init = 1
[req]
distinguished_name = names
[names]
"""
"""nginx does not initialise the engine of Debian 13: OpenSSL does, by its configuration."""


def handshakes(token: Token, port: int) -> None:
    """Ask for the certificate of each type, in TLS 1.2 and 1.3: each handshake is a signature."""
    for version in ("-tls1_2", "-tls1_3"):
        for algorithm in ("ECDSA+SHA256", "RSA-PSS+SHA256"):
            command = ("s_client", "-connect", f"127.0.0.1:{port}", version, "-sigalgs", algorithm)
            assert "Verify return code" in token.run("openssl", *command)


@pytest.fixture
def nginx(token: Token) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    need("nginx")
    file = token.folder / "nginx.conf"
    openssl = token.folder / "openssl.cnf"
    openssl.write_text(INITIALIZES)
    command = ["nginx", "-e", str(token.folder / "error.log"), "-c", str(file)]
    yield from serving(token, CONFIGURATION, file, command, OPENSSL_CONF=str(openssl))


def serving(
    token: Token, configuration: str, file: Path, command: Sequence[str], **more: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Make a certificate for each key, and run a web server that has both, by the engine."""
    environment = engine(token) | more
    make_certificates(token, ("-engine", "pkcs11", "-keyform", "engine"), environment)
    keys = {"p256": OBJECT.format("EC_P256"), "rsa": OBJECT.format("RSA")}
    yield from running(token, configuration, keys, file, command, environment)


def make_certificates(token: Token, options: Sequence[str], environment: Mapping[str, str]) -> None:
    for kind in ("EC_P256", "RSA"):
        request = ("req", "-x509", "-new", *options, "-sha256", "-subj", "/CN=localhost")
        certificate = token.folder / f"{kind}.pem"
        key = ("-key", OBJECT.format(kind))
        token.run("openssl", *request, *key, "-out", certificate, **environment)


def running(
    token: Token,
    configuration: str,
    keys: Mapping[str, str],
    file: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a web server with these keys."""
    port = free_port()
    file.write_text(configuration.format(folder=token.folder, port=port, **keys))
    process = subprocess.Popen(  # noqa: S603
        command, env={**token.environment(), **environment}
    )
    try:
        wait_until(lambda: is_open(port), seconds=60, what=lambda: log(token))
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def log(token: Token) -> str:
    return (token.folder / "error.log").read_text()


def test_workers_sign_handshakes_before_and_after_a_reload(token, nginx):
    process, port = nginx
    handshakes(token, port)
    before = workers(process.pid)
    os.kill(process.pid, signal.SIGHUP)
    wait_until(lambda: len(workers(process.pid) - before) == 2, seconds=30, what=lambda: log(token))
    for _ in range(3):
        handshakes(token, port)
    assert "[alert]" not in log(token)


def workers(master: int) -> set[int]:
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return {int(pid) for pid in children.split()}
