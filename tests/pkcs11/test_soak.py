"""nginx and Apache under load, while Keystead is restarted and killed again and again.

`make pkcs11-soak` does it for longer: KEYSTEAD_PKCS11_ROUNDS times.
"""

import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pkcs11.conftest import Token, add_keys, need
from tests.pkcs11.provider import serving_by_provider
from tests.pkcs11.test_nginx import CONFIGURATION as NGINX
from tests.pkcs11.test_nginx import log, nginx, serving, workers  # noqa: F401 - a fixture
from tests.support.server import Server, start_server, trusting_anyone, wait_until

KEYS = {
    "EC_P256": ["ECDSA_Signature"],
    "RSA": ["RSA_Signature_PKCS1", "RSA_Signature_PSS_SHA256"],
}
ROUNDS = int(os.environ.get("KEYSTEAD_PKCS11_ROUNDS", "2"))
KILLED_EVERY = 5
"""The first round, and each fifth after it, is a SIGKILL of all processes."""
RELOADED_EVERY = 5
"""The second round, and each fifth after it, is followed by a reload of the web server."""
PATIENCE_SECONDS = 300
"""How long the module asks again, so also how long a handshake may take."""


APACHE = """
ServerName localhost
Listen 127.0.0.1:{port}
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
User www-data
Group www-data
StartServers 2
DocumentRoot /usr/share/doc
SSLCryptoDevice pkcs11
SSLSessionCache none
SSLSessionTickets off
<VirtualHost 127.0.0.1:{port}>
    SSLEngine on
    SSLCertificateFile {folder}/EC_P256.pem
    SSLCertificateKeyFile "{p256}"
    SSLCertificateFile {folder}/RSA.pem
    SSLCertificateKeyFile "{rsa}"
</VirtualHost>
"""


@dataclass
class WebServer:
    """A web server, and how it begins a reload and shows that it has ended."""

    port: int
    process: subprocess.Popen[bytes]
    signal_to_reload: signal.Signals
    generation: Callable[[], object]

    def reload(self, what: Callable[[], object]) -> None:
        before = self.generation()
        self.process.send_signal(self.signal_to_reload)
        wait_until(lambda: self.generation() != before, seconds=PATIENCE_SECONDS, what=what)


class Restarted:
    """A server that is stopped or killed, and is there again with the same keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = start_server(folder)
        self.server.wait_ready()

    def again(self, *, by_killing: bool) -> None:
        if by_killing:
            self.server.kill_all()
        else:
            self.server.stop()
        address = f"{self.server.host}:{self.server.port}"
        self.server = start_server(self._folder, listen=address)
        self.server.wait_ready()
        self.server.unlock()


@pytest.fixture
def restarted(module: Path, tmp_path: Path) -> Iterator[Restarted]:
    assert module.exists()
    folder = tmp_path / "server"
    folder.mkdir()
    restarted = Restarted(folder)
    try:
        yield restarted
    finally:
        restarted.server.kill_all()


@pytest.fixture
def token(restarted: Restarted, module: Path, tmp_path: Path) -> Token:
    server = restarted.server
    server.provision()
    server.add_user("operator", "Operator")
    add_keys(server, KEYS)
    return Token(server, module, tmp_path, settings(server))


def settings(server: Server) -> dict[str, str]:
    return {
        "label": '"keystead"',
        "instances": f'["{server.url}"]',
        "pinned-sha256": f'["{server.fingerprint}"]',
        "user": '"operator"',
        "pin": f'"{server.passphrases["operator"]}"',
        "call-seconds": str(PATIENCE_SECONDS),
    }


@pytest.fixture
def apache(token: Token) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    need("apache2")
    if ssl.OPENSSL_VERSION_INFO >= (3, 5):
        pytest.skip("Apache crashes with the engine of Debian 13: its recipe says so")
    file = token.folder / "apache.conf"
    yield from serving(token, APACHE, file, ["apache2", "-f", str(file), "-D", "FOREGROUND"])


@pytest.fixture
def nginx_by_provider(token: Token) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    need("nginx")
    file = token.folder / "nginx.conf"
    configuration = NGINX.replace("ssl_engine pkcs11;", "").replace("engine:pkcs11:", "")
    command = ["nginx", "-e", str(token.folder / "error.log"), "-c", str(file)]
    yield from serving_by_provider(token, configuration, file, command)


@pytest.fixture
def apache_by_provider(token: Token) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    need("apache2")
    file = token.folder / "apache.conf"
    configuration = APACHE.replace("SSLCryptoDevice pkcs11\n", "")
    command = ["apache2", "-f", str(file), "-D", "FOREGROUND"]
    yield from serving_by_provider(token, configuration, file, command)


@pytest.fixture(params=["nginx", "apache", "nginx_by_provider", "apache_by_provider"])
def web_server(request: pytest.FixtureRequest, token: Token) -> WebServer:
    process, port = request.getfixturevalue(request.param)
    if request.param.startswith("nginx"):
        return WebServer(port, process, signal.SIGHUP, lambda: workers(process.pid))
    return WebServer(
        port, process, signal.SIGUSR1, lambda: log(token).count("resuming normal operations")
    )


class Clients:
    """Threads that make one handshake after another until the end."""

    def __init__(self, port: int, threads: int = 2) -> None:
        self.done = 0
        self.failures: list[BaseException] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        context = trusting_anyone()
        address = ("127.0.0.1", self._port)
        while not self._over.is_set():
            try:
                with (
                    socket.create_connection(address, timeout=PATIENCE_SECONDS) as plain,
                    context.wrap_socket(plain),
                ):
                    self.done += 1
            except (OSError, ssl.SSLError) as error:
                self.failures.append(error)
                return


def test_no_handshake_fails_while_keystead_is_restarted_and_killed(
    token: Token, web_server: WebServer, restarted: Restarted
) -> None:
    clients = Clients(web_server.port)
    try:
        for number in range(ROUNDS):
            serves(clients, token)
            restarted.again(by_killing=number % KILLED_EVERY == 0)
            if number % RELOADED_EVERY == 1:
                web_server.reload(lambda: log(token))
        serves(clients, token)
    finally:
        clients.end()
    assert not clients.failures, (clients.failures, log(token))


def serves(clients: Clients, token: Token) -> None:
    """Wait for ten more handshakes."""
    goal = clients.done + 10
    wait_until(
        lambda: clients.failures or clients.done >= goal,
        seconds=PATIENCE_SECONDS,
        what=lambda: log(token),
    )
    assert not clients.failures, (clients.failures, log(token))
