"""examples/provider_tls: handshakes that the HSM signs, by the provider of Debian 13."""


def test_nginx_and_apache_serve_with_keys_of_each_type_by_the_provider(with_module, tmp_path):
    ran = with_module("provider_tls")
    assert ran.stdout.count("Verification: OK\n") == 24
    assert ran.stdout.count("TLSv1.2, Cipher is ECDHE-ECDSA") == 8
    assert ran.stdout.count("TLSv1.2, Cipher is ECDHE-RSA") == 4
    assert ran.stdout.count("New, TLSv1.3") == 12
    assert "[alert]" not in (tmp_path / "nginx.log").read_text()
    assert "exit signal" not in (tmp_path / "apache.log").read_text()
