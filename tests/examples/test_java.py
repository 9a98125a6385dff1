"""examples/java: keytool, jarsigner and a TLS server with keys in the HSM."""

import pytest


@pytest.mark.usefixtures("heavy")
def test_java_keeps_its_keys_in_the_hsm(with_module):
    ran = with_module("java")
    for alias in ("java-code", "java-tls", "java-rsa"):
        assert f"{alias}, PrivateKeyEntry" in ran.stdout
    assert ran.stdout.count("jar verified.") == 2
    assert ran.stdout.endswith("served with a key in the HSM\n" * 2)
