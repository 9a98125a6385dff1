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
python -m examples.acme.order other.csr --account account --webroot elsewhere -o unproven.pem \
    --directory https://localhost:$authority_port/dir 2>refusal || tail -1 refusal
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
def test_an_authority_certifies_a_key_for_names_that_an_account_in_the_hsm_proves(follow, tmp_path):
    ports = {f"{name}_port": str(free_port()) for name in ("authority", "web", "names")}
    ran = follow("acme", MORE, **ports)
    request = x509.load_pem_x509_csr((tmp_path / "web.csr").read_bytes())
    for name in ("web.pem", "renewed.pem"):
        certificate = x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        assert certificate.public_key() == request.public_key()
    assert "DNS:www.example.com, DNS:example.com" in ran.stdout
    assert "There are now 1 accounts in memory" in (tmp_path / "pebble.log").read_text()
    assert "There are now 2 accounts" not in (tmp_path / "pebble.log").read_text()
    assert ran.stdout.rstrip().endswith("returned 404")
