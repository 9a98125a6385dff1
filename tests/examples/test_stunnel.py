"""examples/stunnel: TLS in front of a program that has none."""


def test_stunnel_takes_tls_off_with_a_key_in_the_hsm(with_module):
    assert with_module("stunnel").stdout.count("behind the tunnel\n") == 2
