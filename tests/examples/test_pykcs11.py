"""examples/pykcs11: each kind of signature, verified by the module and by OpenSSL."""

import pytest


@pytest.mark.usefixtures("heavy")
def test_pykcs11_signs_with_each_type(with_module, locked):
    locked("pykcs11")
    ran = with_module("pykcs11")
    for key in ("py-ed25519 True", "py-p256 True", "py-rsa True\npy-rsa True"):
        assert f"{key}\n" in ran.stdout
    assert ran.stdout.count("Verified OK\n") == 2
    assert "Signature Verified Successfully\n" in ran.stdout
