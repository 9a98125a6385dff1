"""examples/acme: an authority certifies the HSM's key, for names that were proven and no others."""

import shutil
import subprocess

import pytest
from cryptography import x509

from tests.examples.conftest import ROOT
from tests.support.daemons import free_port

MORE = """
keystead keys csr web --common-name other.example.com --alternative-name other.example.com \
    -o other.csr --user admin
order other.csr --webroot elsewhere -o unproven.pem 2>refusal || tail -1 refusal
"""


@pytest.fixture
def pebble():
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = [ROOT / "scripts" / "add-pebble", ROOT / ".examples"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"Pebble cannot be built: {ran.stderr[-500:]}")


@pytest.mark.usefixtures("pebble")
def test_an_authority_certifies_a_key_for_names_that_an_account_in_the_hsm_proves(
    follow, locked, tmp_path
):
    locked("certbot")
    ports = {f"{name}_port": str(free_port()) for name in ("authority", "web", "names")}
    ran = follow("acme", MORE, **ports)
    request = x509.load_pem_x509_csr((tmp_path / "web.csr").read_bytes())
    for name in ("web.pem", "renewed.pem", "certbot.pem"):
        certificate = x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        assert certificate.public_key() == request.public_key()
    assert "DNS:www.example.com, DNS:example.com" in ran.stdout
    log = (tmp_path / "pebble.log").read_text()
    assert "There are now 2 accounts in memory" in log  # The HSM's, and certbot's.
    assert "There are now 3 accounts" not in log
    assert ran.stdout.rstrip().endswith("returned 404")
