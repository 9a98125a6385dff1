"""examples/nginx: handshakes that the HSM signs, before and after a reload."""


def test_nginx_serves_with_keys_of_both_types_before_and_after_a_reload(with_module, tmp_path):
    ran = with_module("nginx")
    assert ran.stdout.count("Verification: OK\n") == 8
    for handshake in ("TLSv1.2, Cipher is ECDHE-ECDSA", "TLSv1.2, Cipher is ECDHE-RSA"):
        assert ran.stdout.count(handshake) == 2
    assert ran.stdout.count("New, TLSv1.3") == 4
    log = (tmp_path / "nginx.log").read_text()
    assert "[alert]" not in log, log
