"""examples/bind: dnssec-signzone and named with keys in the HSM."""


def test_bind_signs_with_keys_that_are_there_and_with_those_that_named_makes(with_module, hsm):
    ran = with_module("bind")
    assert "KSKs: 1 active, 0 stand-by, 0 revoked" in ran.stdout + ran.stderr
    assert ran.stdout.count("IN\tDNSKEY\t25") == 2
    assert "IN\tRRSIG\tA 13 2 3600" in ran.stdout
    made = hsm.request("GET", "/keys?details=true", user="admin").json()
    assert sum(key.get("label", "").startswith("example.-hsm.-") for key in made) == 2
