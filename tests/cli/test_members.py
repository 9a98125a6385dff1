"""`keystead cluster …` for an HSM that is in no cluster. With others: `processes/test_members`."""

import json
from argparse import ArgumentParser

from keystead.cli.command import Commands, Invocation
from keystead.cli.members import _add, add_members
from keystead.cli.screen import Screen

ADDED = {"members": [{"id": "1", "name": "", "urls": ["https://192.0.2.1:2380"]}], "joinerKit": ""}
MISSING = "123abc"


def test_the_members_are_listed(keystead):
    (member,) = keystead("cluster", "status", "--json").json()
    assert (member["learner"], member["urls"]) == (False, [])
    assert member["id"] in keystead("cluster", "status").out


def test_an_hsm_on_sqlite_takes_no_members_and_says_so(keystead, tmp_path):
    kit = tmp_path / "member.json"
    refused = keystead("cluster", "add", "https://192.0.2.1:2380", "-o", kit)
    assert (refused.status, "cluster" in refused.err, kit.exists()) == (5, True, False)


def test_a_member_that_is_not_there_is_neither_promoted_nor_removed(keystead):
    assert keystead("cluster", "promote", MISSING, "--wait", "0").status != 0
    assert keystead("cluster", "remove", MISSING, "--yes").status != 0


def test_an_hsm_joins_with_what_another_has_written_only(keystead, tmp_path):
    kit = tmp_path / "member.json"
    for wrong in ("no JSON", "[]", '{"members": []}'):
        kit.write_text(wrong)
        refused = keystead("cluster", "join", kit, "--yes")
        assert (refused.status, "cluster add" in refused.err) == (2, True)
    kit.write_text(json.dumps(ADDED))
    passphrase = {"KEYSTEAD_BACKUP_PASSPHRASE": "backupPassphrase"}
    refused = keystead("cluster", "join", kit, "--yes", **passphrase)
    assert (refused.status, "[cluster]" in refused.err) == (5, True)


def test_the_file_for_a_witness_has_nothing_that_opens_a_record(tmp_path):
    class Answering:
        def post(self, _path, _body):
            return {**ADDED, "joinerKit": "sealed"}

    parser = ArgumentParser()
    add_members(Commands(parser))
    for more, has_kit in (([], True), (["--witness"], False)):
        file = tmp_path / "member.json"
        given = parser.parse_args(["add", "https://192.0.2.1:2380", "-o", str(file), *more])
        call = Invocation(given, Screen(is_json=False))
        call.client = Answering()
        _add(call)
        assert ("joinerKit" in json.loads(file.read_bytes())) is has_kit
