"""Which uses the policy of a key refuses, by which rule, and which documents are no policy."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystead.errors import InvalidInput
from keystead.model.ids import NamespaceId, UserId
from keystead.model.policy import (
    ApprovalRule,
    PolicyDocument,
    PolicyUse,
    TaggedApprovers,
    digest,
    parse_policy,
    refusal,
    require_approvers_of,
)

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z
USE = PolicyUse("PSS_SHA256", 1, "192.0.2.7", lambda: NOON)
PLENTY = {"uses_left": 1000, "minute_wait": 0, "approved": 1000}


def policy(**rules):
    return parse_policy(msgspec.convert(rules, PolicyDocument))


def approvals(**changes):
    rule = {"required": 1, "approvers": ["ann", "bob"], "validSeconds": 60, "uses": 1}
    return rule | changes


ALLOWED = [
    {},
    {"enabled": True},
    {"notBefore": "2026-01-01T12:00:00Z", "notAfter": "2026-01-01T12:00:01Z"},
    {"maxUses": 1},
    {"maxPerMinute": 1},
    {"clients": ["192.0.2.0/29"]},
    {"clients": ["2001:db8::/32", "192.0.2.7"]},
    {"modes": ["PKCS1", "PSS_SHA256"]},
    {"approvals": approvals()},
    {"frozen": True},
]


@pytest.mark.parametrize("rules", ALLOWED)
def test_a_use_that_satisfies_every_rule_is_allowed(rules):
    assert refusal(policy(**rules), USE, **PLENTY) is None


REFUSED = [
    ({"enabled": False}, {}, {}, None),
    ({"notBefore": "2026-01-01T12:00:01Z"}, {"now": lambda: NOON - 0.5}, {}, 2),
    ({"notBefore": "2999-01-01T00:00:00Z"}, {}, {}, 86_400),
    ({"notAfter": "2026-01-01T12:00:00Z"}, {"now": lambda: NOON + 0.5}, {}, None),
    ({"maxUses": 9}, {"uses": 9}, {"uses_left": 8}, None),
    ({"maxPerMinute": 9}, {}, {"minute_wait": 3.2}, 4),
    ({"maxPerMinute": 9}, {"uses": 10}, {"minute_wait": None}, None),
    ({"clients": ["192.0.2.0/29"]}, {"address": "192.0.2.8"}, {}, None),
    ({"clients": ["192.0.2.0/29"]}, {"address": "::1"}, {}, None),
    ({"clients": ["::/0"]}, {}, {}, None),
    ({"clients": ["0.0.0.0/0", "::/0"]}, {"address": "not an address"}, {}, None),
    ({"clients": []}, {}, {}, None),
    ({"modes": ["PKCS1"]}, {}, {}, None),
    ({"modes": []}, {}, {}, None),
    ({"approvals": approvals()}, {"uses": 2}, {"approved": 1}, None),
]


@pytest.mark.parametrize(("rules", "use", "counters", "wait"), REFUSED)
def test_a_use_that_breaks_a_rule_is_refused_by_its_name(rules, use, counters, wait):
    found = refusal(policy(**rules), replace(USE, **use), **(PLENTY | counters))
    assert found is not None
    assert found.rule in rules
    assert found.retry_after_seconds == wait


def test_an_ipv4_client_of_an_ipv6_socket_is_found_in_its_ipv4_network():
    use = replace(USE, address="::ffff:192.0.2.7")
    assert refusal(policy(clients=["192.0.2.0/24"]), use, **PLENTY) is None


INVALID = [
    ({"maxUses": 0}, "maxUses"),
    ({"maxUses": 2**53}, "maxUses"),
    ({"maxUses": 1.5}, "maxUses"),
    ({"maxPerMinute": 0}, "maxPerMinute"),
    ({"notBefore": "2026-01-01"}, "notBefore"),
    ({"notAfter": "2026-01-01T00:00:00+01:00"}, "notAfter"),
    ({"notAfter": "2026-01-01T00:00:00+00:00"}, "notAfter"),
    ({"notAfter": "2026-01-01 00:00:00Z"}, "notAfter"),
    ({"notAfter": "2026-13-01T00:00:00Z"}, "notAfter"),
    ({"notBefore": "2026-01-02T00:00:00Z", "notAfter": "2026-01-01T00:00:00Z"}, "later"),
    ({"notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-01-01T00:00:00Z"}, "later"),
    ({"clients": ["192.0.2.1/24"]}, "clients"),
    ({"clients": ["example.com"]}, "clients"),
    ({"clients": ["::ffff:192.0.2.0/120"]}, "clients"),
    ({"clients": ["fe80::1%eth0"]}, "clients"),
    ({"clients": ["192.0.2.1"] * 101}, "clients"),
    ({"modes": ["ECDSA"] * 101}, "modes"),
    ({"approvals": {}}, "required"),
    ({"approvals": approvals(required=0)}, "required"),
    ({"approvals": approvals(required=17)}, "required"),
    ({"approvals": approvals(required=3)}, "fewer approvers"),
    ({"approvals": approvals(required=2, approvers=["ann", "ann"])}, "fewer approvers"),
    ({"approvals": approvals(approvers=[])}, "approvers"),
    ({"approvals": approvals(approvers=["no user!"])}, "ID"),
    ({"approvals": approvals(approvers={"tag": ""})}, "ID"),
    ({"approvals": approvals(approvers={"tag": "a", "more": 1})}, "more"),
    ({"approvals": approvals(validSeconds=59)}, "validSeconds"),
    ({"approvals": approvals(validSeconds=86_401)}, "validSeconds"),
    ({"approvals": approvals(uses=100_001)}, "uses"),
    ({"enabled": "yes"}, "enabled"),
    ({"max_uses": 1}, "max_uses"),
    ({"surprise": 1}, "surprise"),
]


@pytest.mark.parametrize(("rules", "named"), INVALID)
def test_a_document_that_is_no_policy_is_refused_by_the_name_of_what_is_wrong(rules, named):
    with pytest.raises((InvalidInput, msgspec.ValidationError), match=named):
        policy(**rules)


def test_an_approver_is_named_or_has_the_tag():
    listed = ApprovalRule(1, ("ann",), 60, 1)
    tagged = ApprovalRule(1, TaggedApprovers("owner"), 60, 1)
    ann, bob = UserId.parse("ann"), UserId.parse("bob")
    assert listed.approves(ann, frozenset())
    assert not listed.approves(bob, frozenset({"owner"}))
    assert tagged.approves(bob, frozenset({"owner"}))
    assert not tagged.approves(ann, frozenset({"other"}))


def test_the_approvers_of_a_key_are_of_its_namespace():
    require_approvers_of(policy(approvals=approvals()), None)
    require_approvers_of(policy(approvals=approvals(approvers={"tag": "t"})), NamespaceId("ns"))
    with pytest.raises(InvalidInput, match="ann"):
        require_approvers_of(policy(approvals=approvals()), NamespaceId("ns"))
    with pytest.raises(InvalidInput, match="ns~ann"):
        require_approvers_of(policy(approvals=approvals(approvers=["ns~ann"])), None)


@given(order=st.permutations(["PKCS1", "PSS_SHA256", "PSS_SHA512"]))
def test_two_ways_to_write_a_policy_have_one_digest(order):
    first = policy(modes=order, notBefore="2026-01-01T00:00:00Z", enabled=True)
    other = policy(notBefore="2026-01-01T00:00:00.5Z", modes=[*order, order[0]])
    assert first == other
    assert digest(first) == digest(other) != digest(policy(modes=order))


def test_the_digest_is_that_of_canonical_json():
    text = b'{"clients":["192.0.2.0/24"],"maxUses":5,"notAfter":"2026-01-01T00:00:00Z"}'
    found = policy(notAfter="2026-01-01T00:00:00Z", maxUses=5, clients=["192.0.2.0/24"])
    assert digest(found) == hashlib.sha256(text).digest()
