"""`keystead cluster …` for an HSM that is in no cluster. With others: `processes/test_members`."""

import json
import shlex
from argparse import ArgumentParser

import pytest

from keystead.cli.command import Commands, Invocation
from keystead.cli.members import _add, add_members
from keystead.cli.screen import Screen
from tests.cli.conftest import ADMIN
from tests.docs.pages import ROOT, blocks
from tests.support.openssl import OPENSSL, openssl
from tests.support.server import running_server

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


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_an_hsm_gets_the_clusters_authority_by_the_commands_of_the_page(command, tmp_path):
    page = blocks(ROOT / "docs/cluster.md")
    (lines,) = (block.text for block in page if block.text.startswith("openssl"))
    ran = []
    with running_server(tmp_path) as server:
        server.provision()
        there = ("--host", f"{server.host}:{server.port}", "--user", "admin")
        passphrases = {"PASSPHRASE": ADMIN, "NEW_PASSPHRASE": "a" * 10, "CURRENT_PASSPHRASE": ""}
        given = {f"KEYSTEAD_{name}": value for name, value in passphrases.items()}
        for line in lines.replace("192.0.2.1", server.host).splitlines():
            program, *arguments = shlex.split(line, comments=True)
            if program == "openssl":  # It would ask for the passphrase of the authority's key.
                asked = "-pass" if arguments[0] == "genpkey" else "-passin"
                openssl(*arguments, asked, "pass:worthless")
            else:
                sure = ["--yes"] if arguments[:2] == ["tls", "install"] else []
                trust = [] if "--ca" in arguments else ["--insecure"]
                done = command(*arguments, *sure, *there, *trust, **given)
                assert done.status == 0, done.err
            ran.append(program)
        answer = server.request("GET", "/config/tls/cluster-ca.pem", user="admin")
        assert answer.body == (tmp_path / "ca.pem").read_bytes()
    assert ran == ["openssl", "openssl", "keystead", "openssl", *["keystead"] * 3]


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
