"""examples/dnssec: two validators accept the zone, while its keys are replaced, and no other."""

import shutil

import pytest

TOOLS = ("ldns-verify-zone", "dnssec-verify", "kzonecheck")
MORE = """
ldns-verify-zone -k new.ds first.zone || echo the old key is refused
sed 's/10.0.0.7$/10.0.0.8/' first.zone > changed.zone
kzonecheck -o example. -d on changed.zone >/dev/null || echo kzonecheck refuses a changed record
ldns-verify-zone -k ds changed.zone || echo a changed record is refused
"""


def test_validators_accept_the_zone_while_its_keys_are_replaced(follow):
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    ran = follow("dnssec", MORE)
    assert ran.stdout.count("Zone is verified and complete") == 6
    assert "Zone fully signed" in ran.stdout + ran.stderr
    assert "the old key is refused\n" in ran.stdout
    assert "kzonecheck refuses a changed record\n" in ran.stdout
    assert ran.stdout.endswith("a changed record is refused\n")
