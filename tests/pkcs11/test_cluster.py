"""The module knows three members of a cluster: no signature fails while one of them is killed."""

import hashlib
import json
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.pkcs11.conftest import ROOT, Token
from tests.processes.conftest import place  # noqa: F401 - a fixture
from tests.processes.test_members import added, founded, provisioned, trust
from tests.support.authority import Authority
from tests.support.etcd import needs_etcd
from tests.support.server import Server, wait_until

pytestmark = needs_etcd

SIGNATURES = 20
PROGRAM = """
from pathlib import Path
from tests.pkcs11.bare import *
done, end = Path(sys.argv[2]), Path(sys.argv[3])
module = Module()
module.Initialize(None)
session = module.open()
key = module.find(session, b"before")
with done.open("ab", buffering=0) as file:
    while not end.exists():
        module.sign(session, key)
        file.write(b".")
"""


def pin(server: Server) -> str:
    """The digest of the certificate that the server has now."""
    pem = ssl.get_server_certificate((server.host, server.port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_no_signature_fails_while_a_member_is_killed(module: Path, place: Path, tmp_path: Path):  # noqa: F811
    authority = Authority("cluster")
    with ExitStack() as stack:
        one = founded(place, stack)
        two, three = (provisioned(place, name, stack) for name in ("two", "three"))
        servers = (one, two, three)
        for server in servers:
            trust(server, authority)
        for server in (two, three):
            added(one, server)
        one.add_user("operator", "Operator")
        settings = {
            "label": '"keystead"',
            "instances": json.dumps([server.url for server in servers]),
            "pinned-sha256": json.dumps([pin(server) for server in servers]),
            "user": '"operator"',
            "pin": f'"{one.passphrases["operator"]}"',
            "call-seconds": "120",
        }
        token = Token(one, module, tmp_path, settings)
        done, end = tmp_path / "done", tmp_path / "end"
        done.touch()
        signer = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", PROGRAM, module, done, end],
            env={**token.environment(), "PYTHONPATH": str(ROOT)},
        )
        stack.callback(signer.wait, 60)
        stack.callback(signer.kill)

        def goes_on(count: int) -> None:
            wait_until(
                lambda: done.stat().st_size >= count or signer.poll() is not None, seconds=240
            )

        goes_on(SIGNATURES)
        one.kill_all()
        goes_on(done.stat().st_size + 5 * SIGNATURES)
        end.touch()
        assert signer.wait(240) == 0
