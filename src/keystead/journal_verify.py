"""Verifies an exported journal: docs/journal.md has the format and what each fault means.

It needs Python and the package cryptography, and nothing else of Keystead:

    python journal_verify.py FILE --key key.pem [--head FILE] [--from N]

It prints a line for each fault, and exits with 1 if there is one.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

ORIGIN: Final = b"keystead journal 1\n"
CHECKPOINT: Final = b"keystead journal checkpoint 1\n"
MOST_FAULTS: Final = 100
"""The most faults that are named. One fault can make every later entry wrong."""
MOST_BYTES: Final = 65536
"""The longest line, key or head. All that an HSM writes is shorter."""

_TAIL: Final = len(b',"chain":""}\n') + 64
_number: Final = re.compile(rb'{"n":([1-9][0-9]{0,15}),').match
_anchor: Final = re.compile(rb'{"anchor":([1-9][0-9]{0,15}),"chain":"([0-9a-f]{64})"}\n').fullmatch
_chain: Final = re.compile(rb',"chain":"([0-9a-f]{64})"}\n').fullmatch
_MARK: Final = b'"action":"c'
"""In checkpoints and entries about deletions, and in hardly any others."""
_sha256: Final = hashlib.sha256
_UNSIGNED: Final = "is a checkpoint that this journal's key did not sign: {} or later was rewritten"
_MALFORMED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Unverifiable(Exception):
    """The key or the head cannot be read."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the entry where it shows."""

    entry: int
    reason: str


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint that was kept elsewhere."""

    number: int
    chain: bytes


@dataclass
class Report:
    """The result of a verification."""

    first: int = 0
    last: int = 0
    entries: int = 0
    signed: int = 0
    """The number of the last checkpoint with a valid signature."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_intact(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


def load_key(pem: bytes) -> Ed25519PublicKey:
    """Return the journal's public key. Raises Unverifiable if it is not an Ed25519 key in PEM."""
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        raise Unverifiable("The key is not a public key in PEM.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise Unverifiable("The key is not an Ed25519 key.")
    return key


def load_head(text: bytes, key: Ed25519PublicKey) -> KeptCheckpoint:
    """Return the checkpoint in `text`. Raises Unverifiable unless its signature is valid."""
    try:
        found = json.loads(text)
        body = text.strip()[: 1 - _TAIL]
        prev = bytes.fromhex(found["prev"])
        chain = hashlib.sha256(prev + body).digest()
        is_valid = chain.hex() == found["chain"] and _is_signed(body, prev, key)
    except _MALFORMED:
        raise Unverifiable("The head is not a checkpoint.") from None
    if not is_valid:
        raise Unverifiable("The head was not signed by this journal's key.")
    return KeptCheckpoint(found["n"], chain)


def read_short(path: Path) -> bytes:
    """Return the content of a file with a key or a head, or the beginning of a long one."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file with their newlines. A line that is too long comes in parts."""
    return iter(partial(file.readline, MOST_BYTES), b"")


def _is_signed(body: bytes, prev: bytes, key: Ed25519PublicKey) -> bool:
    """Whether a line, up to the comma before its hash, is a signed checkpoint after `prev`.

    Its form is fixed to the byte, because the signature does not cover the line itself.
    """
    try:
        found = json.loads(body + b"}")
        head = f"{found['n']}\n{found['time']}\n{prev.hex()}\n".encode()
        signature = base64.b64decode(found["signature"], validate=True)
        key.verify(signature, CHECKPOINT + head)
    except (InvalidSignature, *_MALFORMED):
        return False
    form = {
        "n": found["n"],
        "time": found["time"],
        "action": "checkpoint",
        "prev": prev.hex(),
        "signature": base64.b64encode(signature).decode(),
    }
    return json.dumps(form, separators=(",", ":"))[:-1].encode() == body


class ChainVerifier:
    """Follows the chain of a journal line by line."""

    def __init__(
        self, key: Ed25519PublicKey, *, head: KeptCheckpoint | None = None, start: int | None = None
    ) -> None:
        """`start` is the first entry of a file that is known to be a part of a journal."""
        self._key = key
        self._head = head
        self._known = 0 if head is None else head.number
        self._start = start
        self._report = Report()
        self._digest = hashlib.sha256(ORIGIN + key.public_bytes_raw()).digest()
        self._next = 1
        self._seen: set[int] = set()
        """Numbers that were passed over, to tell removed entries from moved ones."""
        self._cut = 0
        """The last entry that an entry in the file says was deleted."""
        self._anchor = 0
        """The last entry before those in the file, as the file's first line says."""

    def verify(self, lines: Iterable[bytes]) -> Report:
        """Return the report on `lines`, which have their newlines."""
        report = self._report
        for line in lines:
            if not self._is_next(line):
                self._examine(line)
                if len(report.faults) >= MOST_FAULTS:
                    break
        self._conclude()
        return report

    def _is_next(self, line: bytes) -> bool:
        """Take the line if it is the next entry of an intact chain."""
        body, number = line[:-_TAIL], self._next
        digest = _sha256(self._digest + body)
        chain = digest.hexdigest().encode()
        if line[-_TAIL:] != b',"chain":"%b"}\n' % chain or not body.startswith(
            b'{"n":%d,' % number
        ):
            return False
        if _MARK in body:
            self._special(line, number)
        self._take(number, digest.digest())
        return True

    def _take(self, number: int, digest: bytes) -> None:
        self._digest, self._next = digest, number + 1
        self._report.entries += 1
        if number == self._known or self._report.entries == 1:
            self._report.first = self._report.first or number
            self._compare_with_head(number, digest)

    def _compare_with_head(self, number: int, digest: bytes) -> None:
        if self._head is not None and number == self._known and digest != self._head.chain:
            self._fault(number, "is not the one of the known head: this is another history")

    def _special(self, line: bytes, number: int) -> None:
        """Check a checkpoint, and note a deletion."""
        try:
            action, upto = map(json.loads(line).get, ("action", "upto"))
        except _MALFORMED:
            self._fault(number, "is not JSON")
            return
        if action == "checkpoint":
            if _is_signed(line[:-_TAIL], self._digest, self._key):
                self._report.signed = number
            else:
                self._fault(number, _UNSIGNED.format(self._report.signed + 1))
        elif action == "cut" and type(upto) is int and upto < number:
            self._cut = max(self._cut, upto)

    def _examine(self, line: bytes) -> None:
        """Name what is wrong with a line that is not the next entry, and go on after it."""
        anchor = _anchor(line)
        if anchor is not None and not self._report.entries:
            self._anchor, self._digest = int(anchor[1]), bytes.fromhex(anchor[2].decode())
            self._next = self._anchor + 1
            self._compare_with_head(self._anchor, self._digest)
            return
        numbered, chained = _number(line), _chain(line[-_TAIL:])
        if numbered is None or chained is None:
            is_cut = not line.endswith(b"\n") and len(line) < MOST_BYTES
            whole = "is cut off" if is_cut else "is not an entry"
            self._fault(self._next, f"{whole}, on the line after entry {self._next - 1}")
            return
        number, chain = int(numbered[1]), bytes.fromhex(chained[1].decode())
        if number == self._next:
            self._fault(number, "was edited, or follows another entry than in this journal")
            # Believe the hash that it claims, to find out whether later entries fit it.
            self._take(number, chain)
        elif number > self._next:
            self._gap(number, chain)
        elif number in self._seen:
            self._seen.discard(number)
            self._fault(number, f"is out of order: it comes after entry {self._next - 1}")
        else:
            self._fault(number, f"comes again after entry {self._next - 1}")

    def _gap(self, number: int, chain: bytes) -> None:
        missing = f"to {number - 1} are missing" if number - 1 > self._next else "is missing"
        self._fault(self._next, missing if self._report.entries else f"{missing} at the beginning")
        self._seen.update(range(self._next, min(number, self._next + 10_000)))
        self._take(number, chain)

    def _conclude(self) -> None:
        report, head = self._report, self._head
        report.last = self._next - 1
        if not report.entries:
            self._fault(self._next, "is missing, and all others: the file has no entries")
        if self._start is not None and report.first != self._start:
            self._fault(self._start, f"is not the first: the file begins with {report.first}")
        if self._start is None and report.first > self._cut + 1:
            self._fault(
                1, f"to {report.first - 1} are missing, and no entry says they were deleted"
            )
        if head is not None and report.last < head.number:
            self._fault(report.last + 1, f"to {head.number} are missing: the known head has them")
        elif head is not None and report.first > head.number != self._anchor:
            self._fault(head.number, "is not in the file: the known head has it")
        if report.last > report.signed:
            self._fault(report.signed + 1, f"to {report.last} are not signed by a checkpoint")

    def _fault(self, entry: int, reason: str) -> None:
        self._report.faults.append(Fault(entry, reason))


def verify(
    lines: Iterable[bytes],
    key: Ed25519PublicKey,
    *,
    head: KeptCheckpoint | None = None,
    start: int | None = None,
) -> Report:
    """Return the report on an exported journal. See `ChainVerifier`."""
    return ChainVerifier(key, head=head, start=start).verify(lines)


def describe(report: Report) -> list[str]:
    """Return the report as lines of text."""
    faults = [
        f"{'entries' if fault.reason.startswith('to ') else 'entry'} {fault.entry} {fault.reason}"
        for fault in report.faults
    ]
    summary = f"{report.entries} entries, {report.first} to {report.last}"
    return [*faults, f"{summary}: {'intact' if report.is_intact else 'NOT intact'}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the file that the command line names. Return the exit status."""
    parser = argparse.ArgumentParser(prog="journal_verify", description="Verify a journal.")
    parser.add_argument("file", type=Path, help="what GET /journal gave")
    parser.add_argument("--key", type=Path, required=True, help="what GET /journal/key.pem gave")
    parser.add_argument("--head", type=Path, help="a checkpoint that was kept elsewhere")
    parser.add_argument("--from", dest="start", type=int, help="the first entry of a part")
    given = parser.parse_args(arguments)
    try:
        key = load_key(read_short(given.key))
        head = None if given.head is None else load_head(read_short(given.head), key)
        with given.file.open("rb") as file:
            report = verify(lines_of(file), key, head=head, start=given.start)
    except (OSError, Unverifiable) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join(describe(report)) + "\n")
    return 0 if report.is_intact else 1


if __name__ == "__main__":
    raise SystemExit(main())
