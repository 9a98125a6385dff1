"""examples/gnutls: an Ed25519 authority that GnuTLS makes; OpenSSL verifies what it signed."""


def test_gnutls_makes_a_key_certifies_with_it_and_signs_messages(with_module):
    ran = with_module("gnutls")
    assert ran.stdout.count("Chain verification output: Verified.") == 2
    assert ran.stderr.count("... ok\n") == 6
    assert "CMS Verification successful" in ran.stderr
