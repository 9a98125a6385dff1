"""examples/gnupg: an OpenPGP key and an S/MIME certificate; gpgv and OpenSSL verify."""

import pytest


@pytest.mark.usefixtures("heavy")
def test_gnupg_signs_with_a_key_of_the_hsm(with_module):
    ran = with_module(
        "gnupg", "gpgv --keyring ./releases.gpg release.asc request.pem || echo refused\n"
    )
    assert 'Good signature from "Releases <releases@example.com>"' in ran.stderr
    assert "CMS Verification successful" in ran.stderr
    assert ran.stdout.endswith("refused\n")
