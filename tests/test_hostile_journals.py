"""Files that somebody made to crash the verifier, or to make it need a machine's memory.

The second verifier, which was written from docs/journal.md alone, must agree.
"""

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead import journal_verify
from keystead.journal.audit.entries import Chain, JournalEntry, origin
from keystead.sealing.journal_keys import JournalKeys
from tests.support.journal_reader import is_journal

TIME = "2026-11-28T12:00:00.000Z"
KEYS = JournalKeys.new()
KEY = journal_verify.load_key(KEYS.public_pem)
GIB = 2**30


def chained(*bodies: bytes) -> list[bytes]:
    """Return lines with these bodies, with the hashes that fit: anyone can compute them."""
    digest, lines = origin(KEYS.public_raw), []
    for body in bodies:
        digest = hashlib.sha256(digest + body).digest()
        lines.append(body + b',"chain":"' + digest.hex().encode() + b'"}\n')
    return lines


def faults(lines: list[bytes]) -> list[str]:
    report = journal_verify.verify(lines, KEY)
    assert is_journal(b"".join(lines), KEYS.public_pem) is report.is_intact
    return [f"{fault.entry} {fault.reason}" for fault in report.faults]


@pytest.mark.parametrize(
    "body",
    [
        b'{"n":1,"action":"checkpoint"x',
        b'{"n":1,"action":"checkpoint","x":' + b"[" * 30_000,
        b'{"n":1,"action":"checkpoint","prev":' + b'{"a":' * 9_000,
        b'{"n":1,"x":"\xff","action":"checkpoint"',
        b'{"n":1,"action":"cut","upto":',
        b'{"n":1,"action":"checkpoint","n":' + b"9" * 9000,
    ],
)
def test_an_entry_that_is_no_json_is_named(body: bytes) -> None:
    assert faults(chained(body))[0] == "1 is not JSON"


@pytest.mark.parametrize(
    "more",
    [
        b'"n":[],"time":{}',
        b'"time":' + b"[" * 900 + b"]" * 900,
        b'"prev":1,"signature":[]',
        b'"signature":"\xc3\xa4"',
        b'"time":"\\ud800"',
    ],
)
def test_a_checkpoint_of_other_types_is_no_checkpoint(more: bytes) -> None:
    found = faults(chained(b'{"n":1,"action":"checkpoint",' + more))
    assert found[0].startswith("1 is a checkpoint that this journal's key did not sign")


@pytest.mark.parametrize("upto", ["1e999", "50", '"9"', "[]", "null", "3.5", "-1", "true"])
def test_a_cut_says_only_that_entries_before_it_were_deleted(upto: str) -> None:
    chain = Chain(9, bytes(32))
    head = b'{"anchor":9,"chain":"%b"}\n' % bytes(32).hex().encode()
    body = b'{"n":10,"action":"cut","upto":%b' % upto.encode()
    digest = hashlib.sha256(chain.digest + body).digest()
    cut = body + b',"chain":"' + digest.hex().encode() + b'"}\n'
    after = Chain(10, digest)
    lines = [head, cut, after.checkpoint(TIME, KEYS.sign)]
    assert faults(lines) == ["1 to 9 are missing, and no entry says they were deleted"]


def test_the_truth_is_no_number() -> None:
    digest = bytes(32)
    body = b'{"n":2,"action":"cut","upto":true'
    after = Chain(2, hashlib.sha256(digest + body).digest())
    anchor = b'{"anchor":1,"chain":"%b"}\n' % digest.hex().encode()
    cut = body + b',"chain":"' + after.digest.hex().encode() + b'"}\n'
    lines = [anchor, cut, after.checkpoint(TIME, KEYS.sign)]
    assert faults(lines) == ["1 to 1 are missing, and no entry says they were deleted"]


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_no_bytes_end_the_verifier(put: bytes, at: int, chained_anew: bool) -> None:  # noqa: FBT001
    chain = Chain(0, origin(KEYS.public_raw))
    lines = [chain.line(JournalEntry(TIME, "cut", "admin", upto=1))]
    lines.append(chain.checkpoint(TIME, KEYS.sign))
    text = b"".join(lines)
    text = text[:at] + put + text[at:]
    parts = text.splitlines(keepends=True)
    if chained_anew:
        parts = chained(*(part.partition(b',"chain":"')[0] for part in parts))
    assert (faults(parts) == []) is (parts == lines)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_what_is_no_head_is_refused(content: object) -> None:
    with pytest.raises(journal_verify.Unverifiable):
        journal_verify.load_head(json.dumps(content).encode(), KEY)


@pytest.mark.parametrize("text", [b"[" * 60_000, b"\xff", b"", b'{"n":', b'{"a":' * 10_000])
def test_a_head_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(journal_verify.Unverifiable):
        journal_verify.load_head(text, KEY)


def limited() -> None:
    """Let the program have 512 MiB of memory."""
    resource.setrlimit(resource.RLIMIT_AS, (GIB // 2, GIB // 2))


def verified(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "key.pem").write_bytes(KEYS.public_pem)
    program = [sys.executable, journal_verify.__file__, *arguments]
    return subprocess.run(  # noqa: S603 - the interpreter with a file of ours
        program,
        cwd=tmp_path,
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def sparse(path: Path, before: bytes = b"") -> str:
    """Make a file of 10 GiB without a newline, which takes no place on the disk."""
    with path.open("wb") as file:
        file.write(before)
        file.truncate(10 * GIB)
    return path.name


def test_a_file_of_ten_gigabytes_without_a_newline_is_refused(tmp_path: Path) -> None:
    chain = Chain(0, origin(KEYS.public_raw))
    lines = chain.line(JournalEntry(TIME, "x")) + chain.checkpoint(TIME, KEYS.sign)
    for before in (b"", lines, b'{"n":1,'):
        found = verified(tmp_path, sparse(tmp_path / "journal", before), "--key", "key.pem")
        assert (found.returncode, found.stderr) == (1, "")
        assert "is not an entry" in found.stdout
        assert len(found.stdout.splitlines()) < journal_verify.MOST_FAULTS + 9


def test_a_key_and_a_head_of_ten_gigabytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"")
    huge = sparse(tmp_path / "huge")
    for arguments in (("--key", huge), ("--key", "key.pem", "--head", huge)):
        found = verified(tmp_path, "journal", *arguments)
        assert found.returncode == 2
        assert "Traceback" not in found.stderr
