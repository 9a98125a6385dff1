"""`keystead journal`: export, verification without an HSM, deletion, settings."""

import json


def test_a_journal_is_exported_verified_and_shortened(hsm, keystead, tmp_path):
    hsm.add_user("auditor", "Auditor")
    journal, key, head = (str(tmp_path / name) for name in ("journal", "key.pem", "head"))
    assert keystead("journal", "key", "-o", key, user="auditor").status == 0
    assert keystead("journal", "head", "-o", head, user="auditor").status == 0
    assert keystead("journal", "show", "-o", journal, user="auditor").status == 0
    verify = ("journal", "verify", journal, "--key", key)
    verified = keystead(*verify, "--head", head)
    assert verified.status == 0
    assert ": intact" in verified.out
    kept = json.loads((tmp_path / "head").read_bytes())
    known = kept["n"]
    assert keystead(*verify, "--checkpoint", f"{known}:{kept['chain']}").status == 0
    other = keystead(*verify, "--checkpoint", f"{known}:{'0' * 64}")
    assert (other.status, "this is another history" in other.out) == (1, True)
    for wrong in (f"{known}", f"{known}:00", f"0:{kept['chain']}", f"{known}:{kept['chain']}0"):
        assert keystead(*verify, "--checkpoint", wrong).status == 2
    assert keystead(*verify, "--json").json()["last"] >= known
    deleting = ("journal", "delete", known, "--yes")
    assert keystead(*deleting, user="auditor").status == 0
    rest = keystead("journal", "show", "--from", known + 1, "--limit", 1, user="auditor").out
    assert json.loads(rest.splitlines()[0])["anchor"] == known


def test_a_cut_or_edited_export_is_named(hsm, keystead, tmp_path):
    hsm.add_user("auditor2", "Auditor")
    journal, key = str(tmp_path / "journal"), str(tmp_path / "key.pem")
    keystead("journal", "key", "-o", key)
    keystead("journal", "show", "-o", journal)
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b'"action":', b'"Action":')
    (tmp_path / "journal").write_bytes(b"".join(lines))
    ran = keystead("journal", "verify", journal, "--key", key, "--json")
    assert ran.status == 1
    assert "was edited" in ran.json()["faults"][0]["reason"]
    (tmp_path / "head").write_bytes(b"{}")
    ran = keystead("journal", "verify", journal, "--key", key, "--head", str(tmp_path / "head"))
    assert ran.status == 2


def test_the_settings_of_the_journal_are_changed_one_by_one(keystead):
    changed = keystead("journal", "config", "--uses", "each", "--json")
    assert changed.json() == {"uses": "each", "whenFull": "overwrite", "maxBytes": 268435456}
    assert keystead("journal", "config", "--uses", "counted", "--json").json()["uses"] == "counted"
    assert keystead("journal", "config", "--max-bytes", 1).status == 1
