"""Attacks on an exported journal by a program that knows everything but the key.

Two verifiers judge each: `keystead.journal_verify`, and one written from docs/journal.md alone.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead import journal_verify
from keystead.journal.audit.entries import Chain, JournalEntry, origin
from keystead.sealing.journal_keys import JournalKeys
from tests.support.journal_reader import is_journal

TIME = "2026-11-28T12:00:00.000Z"
ENTRIES = 12
EVERY = 4
"""After so many entries comes a checkpoint."""


def written(keys: JournalKeys, who: str = "admin", entries: int = ENTRIES) -> list[bytes]:
    chain = Chain(0, origin(keys.public_raw))
    lines = []
    for number in range(1, entries + 1):
        lines.append(chain.line(JournalEntry(TIME, "PUT /config/time", who, target=str(number))))
        if number % EVERY == 0:
            lines.append(chain.checkpoint(TIME, keys.sign))
    return lines


def judged(lines: list[bytes], keys: JournalKeys, head: bytes | None = None) -> list[str]:
    """Return the faults that the verifier names; the other one must agree that there are some."""
    key = journal_verify.load_key(keys.public_pem)
    known = None if head is None else journal_verify.load_head(head, key)
    report = journal_verify.verify(lines, key, head=known)
    assert is_journal(b"".join(lines), keys.public_pem, head) is report.is_intact
    return [f"{fault.entry} {fault.reason}" for fault in report.faults]


def forged(lines: list[bytes], start: int, **changed: object) -> list[bytes]:
    """Edit the line at `start`, and compute every later hash anew, as anyone can."""
    digest = bytes.fromhex(json.loads(lines[start - 1])["chain"])
    result = lines[:start]
    for index, line in enumerate(lines[start:], start):
        entry = json.loads(line)
        entry.pop("chain")
        if index == start:
            entry |= changed
        if "prev" in entry:
            entry["prev"] = digest.hex()
        body = json.dumps(entry, separators=(",", ":"))[:-1].encode()
        digest = hashlib.sha256(digest + body).digest()
        result.append(body + b',"chain":"' + digest.hex().encode() + b'"}\n')
    return result


@pytest.fixture(scope="module")
def keys() -> JournalKeys:
    return JournalKeys.new()


@pytest.fixture
def lines(keys: JournalKeys) -> list[bytes]:
    return written(keys)


def test_what_the_hsm_writes_is_intact(keys: JournalKeys, lines: list[bytes]) -> None:
    assert judged(lines, keys) == []
    for head in (lines[4], lines[9], lines[-1]):
        assert judged(lines, keys, head) == []


def test_each_edited_byte_is_noticed_in_its_entry(keys: JournalKeys, lines: list[bytes]) -> None:
    key = journal_verify.load_key(keys.public_pem)
    for index in (0, 4, 5):
        line = lines[index]
        for at in range(len(line)):
            edited = bytes([line[at] ^ 1])
            changed = [*lines[:index], line[:at] + edited + line[at + 1 :], *lines[index + 1 :]]
            parts = b"".join(changed).splitlines(keepends=True)
            faults = journal_verify.verify(parts, key).faults
            assert faults, (index, at)
            assert not is_journal(b"".join(changed), keys.public_pem), (index, at)
            assert faults[0].entry in {index, index + 1, index + 2}, (index, at, faults)


@pytest.mark.parametrize("index", range(1, 14))
def test_an_edited_entry_is_named(keys: JournalKeys, lines: list[bytes], index: int) -> None:
    lines[index] = lines[index].replace(b"12:00", b"13:00")
    assert judged(lines, keys)[0].startswith(f"{index + 1} was edited")


@pytest.mark.parametrize("index", range(1, 12))
def test_a_removed_entry_is_named(keys: JournalKeys, lines: list[bytes], index: int) -> None:
    del lines[index]
    assert judged(lines, keys)[0].startswith(f"{index + 1} is missing")


def test_several_removed_entries_are_named(keys: JournalKeys, lines: list[bytes]) -> None:
    assert judged(lines[:3] + lines[7:], keys)[0] == "4 to 7 are missing"


def test_reordered_entries_are_named(keys: JournalKeys, lines: list[bytes]) -> None:
    lines[2], lines[3] = lines[3], lines[2]
    faults = judged(lines, keys)
    assert faults[0] == "3 is missing"
    assert any(fault.startswith("3 is out of order") for fault in faults)


def test_a_replayed_entry_is_named(keys: JournalKeys, lines: list[bytes]) -> None:
    assert judged(lines[:6] + lines[2:3] + lines[6:], keys) == ["3 comes again after entry 6"]


@pytest.mark.parametrize("left", range(1, 15))
def test_a_journal_cut_behind_a_known_head_is_named(
    keys: JournalKeys, lines: list[bytes], left: int
) -> None:
    faults = judged(lines[:left], keys, lines[-1])
    assert f"{left + 1} to 15 are missing: the known head has them" in faults


def test_each_cut_byte_is_noticed_with_a_known_head(keys: JournalKeys) -> None:
    lines = written(keys, entries=EVERY)
    content = b"".join(lines)
    key = journal_verify.load_key(keys.public_pem)
    head = journal_verify.load_head(lines[-1], key)
    for length in range(len(content)):
        parts = content[:length].splitlines(keepends=True)
        assert not journal_verify.verify(parts, key, head=head).is_intact, length
        assert not is_journal(content[:length], keys.public_pem, lines[-1]), length


def test_without_a_head_a_cut_is_noticed_unless_it_is_at_a_checkpoint(
    keys: JournalKeys, lines: list[bytes]
) -> None:
    for left in range(15):
        assert (judged(lines[:left], keys) == []) is (left in {5, 10}), left


def test_a_missing_beginning_is_named_unless_an_entry_says_who_deleted_it(
    keys: JournalKeys, lines: list[bytes]
) -> None:
    anchor = b'{"anchor":5,"chain":"%b"}\n' % json.loads(lines[4])["chain"].encode()
    assert judged([anchor, *lines[5:]], keys) == [
        "1 to 5 are missing, and no entry says they were deleted"
    ]
    chain = Chain(0, origin(keys.public_raw))
    said = [chain.line(JournalEntry(TIME, "one")), chain.checkpoint(TIME, keys.sign)]
    anchor = b'{"anchor":2,"chain":"%b"}\n' % chain.digest.hex().encode()
    said = [
        chain.line(JournalEntry(TIME, "cut", "auditor", upto=2)),
        chain.checkpoint(TIME, keys.sign),
    ]
    assert judged([anchor, *said], keys) == []


def test_a_head_of_the_last_deleted_entry_still_fits(keys: JournalKeys) -> None:
    chain = Chain(0, origin(keys.public_raw))
    deleted = [chain.line(JournalEntry(TIME, "one")), chain.checkpoint(TIME, keys.sign)]
    cut = JournalEntry(TIME, "cut", "auditor", upto=2)
    anchor = b'{"anchor":2,"chain":"%b"}\n' % chain.digest.hex().encode()
    left = [anchor, chain.line(cut), chain.checkpoint(TIME, keys.sign)]
    assert judged(left, keys, deleted[-1]) == []


def test_a_head_of_the_last_deleted_entry_shows_another_history(keys: JournalKeys) -> None:
    chain, other = Chain(0, origin(keys.public_raw)), Chain(0, origin(keys.public_raw))
    heads = []
    for one, who in ((chain, "admin"), (other, "intruder")):
        one.line(JournalEntry(TIME, "one", who))
        heads.append(one.checkpoint(TIME, keys.sign))
    cut = JournalEntry(TIME, "cut", "auditor", upto=2)
    anchor = b'{"anchor":2,"chain":"%b"}\n' % other.digest.hex().encode()
    left = [anchor, other.line(cut), other.checkpoint(TIME, keys.sign)]
    assert judged(left, keys, heads[0]) == [
        "2 is not the one of the known head: this is another history"
    ]
    assert judged(left, keys, heads[1]) == []


def test_the_journals_of_two_hsms_cannot_be_spliced(keys: JournalKeys, lines: list[bytes]) -> None:
    others = written(JournalKeys.new(), "intruder")
    for at in range(1, 15):
        faults = judged(lines[:at] + others[at:], keys)
        assert faults[0].startswith(f"{at + 1} was edited, or follows another entry")
    assert judged(others, keys)[0].startswith("1 was edited")


@pytest.mark.parametrize("start", range(1, 14))
def test_a_rewritten_history_lacks_the_signature_of_the_next_checkpoint(
    keys: JournalKeys, lines: list[bytes], start: int
) -> None:
    faults = judged(forged(lines, start, who="nobody"), keys)
    checkpoint = next(number for number in (5, 10, 15) if number > start)
    assert faults[0].startswith(f"{checkpoint} is a checkpoint that this journal's key did not")


def test_a_forged_tail_is_not_signed(keys: JournalKeys, lines: list[bytes]) -> None:
    digest = bytes.fromhex(json.loads(lines[-1])["chain"])
    more = [Chain(15, digest).line(JournalEntry(TIME, "DELETE /keys/{key_id}", "somebody"))]
    assert judged(lines + more, keys) == ["16 to 16 are not signed by a checkpoint"]


def test_an_older_state_of_the_same_hsm_is_another_history(keys: JournalKeys) -> None:
    """A machine that is set back goes on from an older state: the known head shows it."""
    old, new = written(keys, "admin"), written(keys, "somebody")
    head = new[9]
    assert judged(old, keys, head)[0].startswith("10 is not the one of the known head")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"{}",
        lambda _: b"not JSON",
        lambda head: head.replace(b'"n":5', b'"n":6'),
        lambda head: head.replace(b"12:00", b"12:01"),
    ],
)
def test_a_spoiled_head_is_refused(
    keys: JournalKeys, lines: list[bytes], spoil: Callable[[bytes], bytes]
) -> None:
    key = journal_verify.load_key(keys.public_pem)
    with pytest.raises(journal_verify.Unverifiable):
        journal_verify.load_head(spoil(lines[4]), key)


def test_the_verifier_runs_alone(keys: JournalKeys, lines: list[bytes], tmp_path: Path) -> None:
    """Its file needs nothing else of Keystead."""
    script = tmp_path / "verify.py"
    script.write_bytes(Path(journal_verify.__file__).read_bytes())
    (tmp_path / "journal").write_bytes(b"".join(lines))
    (tmp_path / "key.pem").write_bytes(keys.public_pem)
    (tmp_path / "head").write_bytes(lines[-1])
    command = [sys.executable, "-I", str(script), "journal", "--key", "key.pem", "--head", "head"]

    def run() -> tuple[int, str]:
        ran = subprocess.run(  # noqa: S603 - our own file
            command, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return ran.returncode, ran.stdout

    assert run() == (0, "15 entries, 1 to 15: intact\n")
    (tmp_path / "journal").write_bytes(b"".join(lines[:5]))
    status, said = run()
    assert status == 1
    assert "entries 6 to 15 are missing: the known head has them" in said
    assert "NOT intact" in said


def test_the_command_line_says_what_it_cannot_read(
    keys: JournalKeys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal").write_bytes(b"")
    (tmp_path / "key.pem").write_bytes(b"no key")
    arguments = [str(tmp_path / "journal"), "--key", str(tmp_path / "key.pem")]
    assert journal_verify.main(arguments) == 2
    (tmp_path / "key.pem").write_bytes(keys.public_pem)
    assert journal_verify.main(arguments) == 1
    assert "the file has no entries" in capsys.readouterr().out
    assert journal_verify.main([str(tmp_path / "none"), *arguments[1:]]) == 2
