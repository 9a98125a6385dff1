"""examples/powerdns: a zone that is signed as it is transferred."""

import pytest


@pytest.mark.usefixtures("heavy")
def test_the_zone_that_powerdns_gives_out_is_signed_by_the_hsm(with_module, as_user):
    ran = with_module("powerdns", wrapper=as_user)
    assert ran.stdout.endswith("Zone is verified and complete\n")
