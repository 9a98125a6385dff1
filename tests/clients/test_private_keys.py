"""HSM keys as private keys of other people's software: the table of docs/client.md."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemons import running
from tests.support.server import running_server, wait_until

PROGRAM = Path(__file__).with_name("sign_with_libraries.py")
SOURCE = Path(__file__).parents[2] / "src"
STAYS = "UnsupportedAlgorithm: The private key stays in the HSM."
KEYS = {
    "p256": ("EC_P256", ["ECDSA_Signature"]),
    "ed": ("Curve25519", ["EdDSA_Signature"]),
    "rsa": ("RSA", ["RSA_Signature_PKCS1", "RSA_Signature_PSS_SHA256"]),
}
CANNOT = {
    # Its salt is the longest that there is room for: findings/josepy-ps256-salt.sh
    "josepy PS256": (
        "UnsupportedAlgorithm: The HSM signs PSS with a salt as long as the digest and the same "
        "hash in MGF1."
    ),
    # Both ask for private numbers and use the public ones among them.
    "josepy thumbprint": STAYS,
    "paramiko RSA": STAYS,
}


def test_what_works_and_what_cannot_is_as_the_page_says(clients, tmp_path):
    python = clients / "private-keys/bin/python"
    if not python.exists():
        pytest.skip("could not be fetched")
    with running_server(tmp_path) as server:
        server.provision()
        server.add_user("signer", "Operator")
        for name, (type_name, mechanisms) in KEYS.items():
            wanted = {"id": name, "type": type_name, "mechanisms": mechanisms, "length": 2048}
            answer = server.request("POST", "/keys/generate", user="admin", json=wanted)
            assert answer.status == 201, answer
        passphrase, agent = server.passphrases["signer"], tmp_path / "agent"
        where = ("--host", f"{server.host}:{server.port}", "--pin", f"sha256:{server.fingerprint}")
        serve = (*where, "--user", "signer", "--socket", agent)
        with running(
            *(sys.executable, "-m", "keystead", "ssh-agent", *KEYS, *serve),
            log=tmp_path / "agent.log",
            environment={"KEYSTEAD_PASSPHRASE": passphrase},
        ):
            wait_until(agent.exists, seconds=60, what=(tmp_path / "agent.log").read_text)
            asked = (server.host, str(server.port), server.fingerprint, "signer", passphrase, agent)
            ran = subprocess.run(
                [python, PROGRAM, *asked],
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
                capture_output=True,
                text=True,
                check=False,
            )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert len(found) > 10
    assert {name: how for name, how in found.items() if how != "works"} == CANNOT
