"""examples/apache: handshakes that the HSM signs, before and after a graceful restart."""


def test_apache_serves_with_keys_of_both_types_before_and_after_a_restart(with_module, tmp_path):
    ran = with_module("apache")
    assert ran.stdout.count("Verification: OK\n") == 8
    for handshake in ("TLSv1.2, Cipher is ECDHE-ECDSA", "TLSv1.2, Cipher is ECDHE-RSA"):
        assert ran.stdout.count(handshake) == 2
    assert ran.stdout.count("New, TLSv1.3") == 4
    assert "exit signal" not in (tmp_path / "apache.log").read_text()
