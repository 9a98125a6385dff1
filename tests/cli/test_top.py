"""`keystead top`, and how it reads the metrics."""

import re

import pytest

from keystead.cli.exposition import Readings, parse
from keystead.cli.usage_counts import ActionsOfUsers
from keystead.client.client import Client, Credentials
from keystead.client.transport import Endpoint
from keystead.client.trust import Pinned

BEFORE = """# HELP keystead_x Something.
# TYPE keystead_x counter
keystead_x_total{kind="a b",more="c"} 10
keystead_writable 1
keystead_seconds_bucket{le="0.001"} 5
keystead_seconds_bucket{le="+Inf"} 5
"""
AFTER = """keystead_x_total{kind="a b",more="c"} 30
keystead_new_total 4.0
keystead_writable 0
keystead_seconds_bucket{le="0.001"} 14
keystead_seconds_bucket{le="+Inf"} 15
"""


def client_of(server):
    endpoint = Endpoint(server.host, server.port, Pinned(server.fingerprint))
    return Client([endpoint], Credentials("admin", server.passphrases["admin"]))


def test_two_readings_give_rates_gauges_and_quantiles():
    readings = Readings(parse(BEFORE), parse(AFTER), seconds=2.0)
    assert list(readings.rates()) == [
        ("keystead_x", "kind=a b more=c", 10.0, 30.0),
        ("keystead_new", "", 2.0, 4.0),
    ]
    assert list(readings.gauges()) == [("keystead_writable", "", 0.0)]
    assert readings.quantile("keystead_seconds", 0.5) == pytest.approx(0.001)
    assert readings.quantile("keystead_seconds", 0.99) == float("inf")
    assert readings.quantile("keystead_nothing", 0.5) is None


def test_a_counter_that_begins_anew_has_no_negative_rate():
    readings = Readings(parse("keystead_x_total 10"), parse("keystead_x_total 1"), seconds=1.0)
    assert list(readings.rates()) == [("keystead_x", "", 0.0, 1.0)]


def test_top_shows_what_the_hsm_counts(keystead):
    ran = keystead("top", "--times", "2", "--every", "0.1", user="metrics")
    assert ran.status == 0
    assert "HSM Operational" in ran.out
    assert ran.out.endswith("\n")
    assert "http responses" in ran.out
    assert re.search(r"edges connected +1\b", ran.out)
    assert re.search(r"work under way +work=use +0\b", ran.out)
    assert keystead("top", "--every", "0", user="metrics").status == 2
    assert keystead("top", "--times", "1", user="signer").status == 1


def test_top_by_key_shows_which_keys_work(keystead):
    assert keystead("keys", "generate", "busy", "--type", "EC_P256").status == 0
    ran = keystead("top", "--by", "key", "--times", "1", "--every", "0.1", user="signer")
    assert ran.status == 0
    assert "busy" in ran.out


def test_top_by_user_shows_who_does_something(keystead, hsm):
    counts = ActionsOfUsers()
    with client_of(hsm) as client:
        assert counts.read(client) == {}
        for _ in range(3):
            hsm.request("POST", "/lock", user="signer")  # Which is refused.
        found = counts.read(client)
    assert found["signer"] == 3
    ran = keystead("top", "--by", "user", "--times", "1", "--every", "0.1")
    assert ran.status == 0
    assert "HSM Operational" in ran.out
