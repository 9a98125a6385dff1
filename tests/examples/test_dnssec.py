"""examples/dnssec: two validators accept the zone, while its keys are replaced, and no other."""

import shutil

import pytest

MORE = """
ldns-verify-zone -k new.ds first.zone || echo the old key is refused
sed 's/198.51.100.7$/198.51.100.8/' first.zone > changed.zone
ldns-verify-zone -k ds changed.zone || echo a changed record is refused
"""


def test_validators_accept_the_zone_while_its_keys_are_replaced(follow):
    if not all(map(shutil.which, ("ldns-verify-zone", "dnssec-verify"))):
        pytest.skip("ldns-verify-zone (ldnsutils) or dnssec-verify (bind9-utils) is not installed")
    ran = follow("dnssec", MORE)
    assert ran.stdout.count("Zone is verified and complete") == 6
    assert "Zone fully signed" in ran.stdout + ran.stderr
    assert "the old key is refused\n" in ran.stdout
    assert ran.stdout.endswith("a changed record is refused\n")
