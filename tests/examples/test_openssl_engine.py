"""examples/openssl_engine: what OpenSSL signs with keys in the HSM, it verifies without."""


def test_openssl_certifies_signs_and_decrypts_by_its_engine(with_module, tmp_path):
    ran = with_module("openssl_engine")
    assert ran.stdout.count("Verified OK\n") == 3
    assert "sign.pem: OK\nmail.pem: OK\n" in ran.stdout
    assert "CMS Verification successful" in ran.stderr
    assert (tmp_path / "decrypted").read_text().split() == ["a", "message"]
