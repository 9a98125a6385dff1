"""Real etcd members on this machine, each with a Unix socket for clients."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keystead.etcd.client import EtcdClient
from tests.support.authority import name as name_of
from tests.support.daemons import free_port

VERSION = os.environ.get("KEYSTEAD_ETCD")
"""One that scripts/build-etcd has built. Without it, the one of Debian is taken."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keystead"
WAIT_SECONDS = 60


def programs(version):
    """Return where the programs of a version are that was built, or those of Debian."""
    return CACHE / (f"etcd-{version}" if version else "etcd") / "usr/bin"


BINARY = programs(VERSION) / "etcd"
CONTROL = BINARY.with_name("etcdctl")

needs_etcd = pytest.mark.skipif(
    not BINARY.is_file(),
    reason="etcd is not here: scripts/add-etcd unpacks it, scripts/build-etcd builds it",
)


class PatientClient(EtcdClient):
    """A client for tests, which must not fail because the machine is busy."""

    async def call(self, call, request, *, seconds=WAIT_SECONDS):
        return await super().call(call, request, seconds=seconds)


class Member:
    """One etcd process. Its data stay when it is stopped."""

    def __init__(self, directory, name, url, command=()):
        """`command` runs it on another host."""
        self.name = name
        self.address = urlsplit(url).hostname
        self.directory = directory / name
        self.socket = directory / f"{name}.sock"
        self.url = url
        self.process = None
        self.program = BINARY
        self.options = ()
        self.clock = None
        self._command = command
        self._log = directory / f"{name}.log"

    @property
    def has_ended(self):
        return self.process.poll() is not None

    def start(self, members, *, state="new"):
        self.socket.unlink(missing_ok=True)
        cluster = ",".join(f"{member.name}={member.url}" for member in members)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  the binary is ours
                [
                    *self._command,
                    self.program,
                    f"--name={self.name}",
                    f"--data-dir={self.directory}",
                    f"--listen-client-urls=unix://{self.socket}",
                    "--advertise-client-urls=",
                    f"--listen-peer-urls={self.url}",
                    f"--initial-advertise-peer-urls={self.url}",
                    f"--initial-cluster={cluster}",
                    f"--initial-cluster-state={state}",
                    "--max-txn-ops=512",
                    "--max-request-bytes=10485760",
                    "--log-level=warn",
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                env=self.clock and self.clock.environment,
            )

    def wait(self):
        """Wait until it serves and knows a leader."""
        end = time.monotonic() + WAIT_SECONDS
        while not self._is_healthy():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()

    def _is_healthy(self):
        asked = subprocess.run(  # noqa: S603  the binary is ours
            [CONTROL, f"--endpoints=unix://{self.socket}", "endpoint", "health"],
            capture_output=True,
            check=False,
        )
        return asked.returncode == 0

    def pause(self):
        """Stop it, and wait until all of it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        with contextlib.suppress(OSError):  # It has ended.
            while any(_state(thread) != "T" for thread in threads.iterdir()):
                time.sleep(0.01)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(WAIT_SECONDS)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def log(self):
        return self._log.read_text(errors="replace")[-4000:]


class Cluster:
    """Some members that are one cluster, on one machine or on hosts of a network.

    With an `authority` they know each other by certificates.
    """

    def __init__(self, size, *options, network=None, authority=None):
        # A path of a Unix socket must be short.
        self.directory = Path(tempfile.mkdtemp(prefix="ks-etcd-"))
        self.network = network
        self.authority = authority
        self._options = options
        self.members = [
            self._member(f"m{number}", number, port)
            for number, port in enumerate(_free_ports(size))
        ]

    def another(self):
        """A member that does not belong to the cluster yet, on a host of its own."""
        port = free_port()
        return self._member(f"x{port}", len(self.members), port)

    def _member(self, name, host, port):
        scheme = "https" if self.authority else "http"
        address, command = "127.0.0.1", ()
        if self.network:
            address, command = self.network.address(host), self.network.command(host)
        member = Member(self.directory, name, f"{scheme}://{address}:{port}", command)
        member.options = self._options
        if self.authority:
            member.identity = self.directory / f"{name}.pem"
            member.identity.write_bytes(peer_identity(self.authority, address))
            trusted = self.directory / "authority.pem"
            trusted.write_bytes(self.authority.pem)
            member.options += (
                f"--peer-cert-file={member.identity}",
                f"--peer-key-file={member.identity}",
                f"--peer-trusted-ca-file={trusted}",
                "--peer-client-cert-auth",
            )
        return member

    def __enter__(self):
        try:
            for member in self.members:
                member.start(self.members)
            for member in self.members:
                member.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.stop()
        shutil.rmtree(self.directory)


def peer_identity(authority, address):
    """Return a new key and its certificate for a member at an IP address, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    certificate = authority.certify(key.public_key(), name_of("member"), (names,))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + certificate.public_bytes(Encoding.PEM)


def _state(thread):
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def _free_ports(count):
    ports = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)
