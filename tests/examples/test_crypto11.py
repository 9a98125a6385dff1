"""examples/crypto11: a Go program serves TLS with keys in the HSM."""

import pytest


@pytest.mark.usefixtures("heavy")
def test_go_serves_with_keys_of_both_types(with_module):
    ran = with_module("crypto11")
    assert ran.stdout.endswith("served with ECDSA\n" * 2 + "served with RSA\n" * 2)
