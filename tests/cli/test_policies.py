"""Policies of keys and approvals on the command line, and by the client."""

import json


def test_a_policy_is_set_shown_and_removed(keystead, tmp_path):
    assert keystead("keys", "generate", "ruled", "--type", "EC_P256").status == 0
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"maxUses": 5, "clients": ["127.0.0.0/8"]}))
    assert keystead("keys", "policy", "set", "ruled", file).status == 0
    shown = keystead("keys", "policy", "show", "ruled", "--json").json()
    assert shown == {"maxUses": 5, "clients": ["127.0.0.0/8"], "usesLeft": 5}
    assert keystead("keys", "policy", "remove", "ruled").status == 0
    assert keystead("keys", "policy", "show", "ruled").status == 6
    file.write_text("no JSON")
    wrong = keystead("keys", "policy", "set", "ruled", file)
    assert (wrong.status, "is not JSON" in wrong.err) == (2, True)


def test_an_approval_is_asked_for_and_decided(hsm, keystead, tmp_path):
    new = {"KEYSTEAD_NEW_PASSPHRASE": "a new passphrase"}
    for name in ("asking", "granting"):
        assert keystead("users", "add", name, "--role", "Operator", **new).status == 0
        hsm.passphrases[name] = new["KEYSTEAD_NEW_PASSPHRASE"]
    assert keystead("keys", "generate", "guarded", "--type", "EC_P256").status == 0
    rule = {"required": 1, "approvers": ["granting"], "validSeconds": 60, "uses": 2}
    (tmp_path / "policy.json").write_text(json.dumps({"approvals": rule}))
    assert keystead("keys", "policy", "set", "guarded", tmp_path / "policy.json").status == 0
    (tmp_path / "message").write_text("hello")
    sign = ("keys", "sign", "guarded", tmp_path / "message")
    refused = keystead(*sign, user="asking")
    assert (refused.status, "keystead approvals request KEY" in refused.err) == (1, True)

    def request(*more):
        asked = ("approvals", "request", "guarded", "--reason", "release", *more, "--json")
        return keystead(*asked, user="asking").json()["id"]

    first, second = request("--uses", 1), request()
    assert "Approved by  Needed" in keystead("approvals", "list", user="granting").out
    assert keystead("approvals", "approve", first, user="granting").status == 0
    assert keystead("approvals", "refuse", second, user="granting").status == 0
    assert keystead(*sign, user="asking").status == 0
    assert keystead(*sign, user="asking").status != 0
    listed = keystead("approvals", "list", "--json", user="granting").json()
    assert [(one["id"], one["state"]) for one in listed] == [(first, "spent"), (second, "refused")]
    shown = keystead("approvals", "show", first, "--json").json()
    assert (shown["reason"], shown["approvedBy"]) == ("release", ["granting"])
    assert first in keystead("approvals", "list").out
