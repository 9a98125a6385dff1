"""examples/certificate_authority: OpenSSL and a linter accept what it makes."""

from cryptography import x509


def test_openssl_accepts_the_certificates_and_refuses_a_revoked_one(follow, tmp_path):
    ran = follow("certificate_authority")
    assert "www.pem: OK\n" in ran.stdout
    assert "error 23 at 0 depth lookup: certificate revoked" in ran.stderr
    assert "old.pem is refused\n" in ran.stdout
    assert "www.pem: good\n" in ran.stdout
    assert "old.pem: revoked\n" in ran.stdout
    assert ran.stderr.count("Response verify OK") == 2
    for name in ("root", "issuing", "www"):
        assert x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes())
