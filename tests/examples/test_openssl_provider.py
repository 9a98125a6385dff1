"""examples/openssl_provider: the provider of Debian 13."""


def test_openssl_certifies_signs_and_decrypts_by_its_provider(with_module):
    ran = with_module("openssl_provider")
    assert ran.stdout.count("Verified OK\n") == 3
    assert "sign.pem: OK\nmail.pem: OK\n" in ran.stdout
    assert "CMS Verification successful" in ran.stderr
    assert ran.stdout.split().count("message") == 2
