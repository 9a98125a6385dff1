"""A customer checks where a code-signing key lives, as docs/attestation.md has it."""

import hashlib
import subprocess
from pathlib import Path

from keystead.processes.core.software import PACKAGE, software_digest

NONCE = "MDEyMzQ1Njc4OWFiY2RlZg=="


def test_a_key_is_attested_and_the_attestation_verified_without_the_hsm(
    keystead, command, tmp_path
):
    generate = ("keys", "generate", "release", "--type", "EC_P256")
    assert keystead(*generate).status == 0
    jws, chain = tmp_path / "release.jws", tmp_path / "identity.pem"
    assert keystead("keys", "attest", "release", "--nonce", NONCE, "-o", jws).status == 0
    assert keystead("attestation", "identity", "-o", chain).status == 0
    verify = ("attestation", "verify", jws, "--identity", chain, "--json", "--nonce")
    claims = command(*verify, NONCE).json()
    assert (claims["keyId"], claims["origin"], claims["exportable"]) == (
        "release",
        "generated",
        False,
    )
    assert claims["softwareDigest"] == software_digest()
    public = keystead("keys", "public", "release").out
    assert claims["publicKey"] == public
    assert command(*verify, "AAAAAAAAAAA=").status == 1
    assert command(*verify, "?").status == 2
    parts = chain.read_text().split("-----END CERTIFICATE-----\n")
    root = tmp_path / "root.pem"
    root.write_text(parts[1] + "-----END CERTIFICATE-----\n")
    checking = ["openssl", "verify", "-CAfile", root, chain]
    subprocess.run(checking, check=True, capture_output=True)


def test_the_software_s_digest_is_what_the_command_on_the_page_gives():
    command = (
        "find keystead -type f ! -name '*.pyc' | LC_ALL=C sort | xargs -d '\\n' sha256sum "
        "| sha256sum"
    )
    page = Path(__file__).parents[2] / "docs" / "attestation.md"
    assert command.replace("\n", "\\n") in page.read_text() or command in page.read_text()
    ran = subprocess.run(  # noqa: S602 - the command of the page
        command, shell=True, cwd=PACKAGE.parent, check=True, capture_output=True, text=True
    )
    assert ran.stdout.split()[0] == software_digest()


def test_every_file_counts_and_bytecode_does_not(tmp_path):
    package = tmp_path / "keystead"
    (package / "inner").mkdir(parents=True)
    (package / "inner" / "b.py").write_bytes(b"b")
    (package / "a.pyc").write_bytes(b"made by Python")
    line = f"{hashlib.sha256(b'b').hexdigest()}  keystead/inner/b.py\n"
    assert software_digest(package) == hashlib.sha256(line.encode()).hexdigest()
    before = software_digest(package)
    (package / "c.py").write_bytes(b"")
    assert software_digest(package) != before
