"""A second verifier of journals, written from docs/journal.md alone.

It shares no code with `keystead.journal_verify` and works the other way round: it reads the whole
file into a table first, and then asks the table whether it is a journal.
"""

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def is_journal(content: bytes, pem: bytes, head: bytes | None = None) -> bool:
    """Whether `content` is an intact journal of the key in `pem` that reaches `head`."""
    key = load_pem_public_key(pem)
    assert isinstance(key, Ed25519PublicKey)
    try:
        return _holds(content, key, head)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False
    except (RecursionError, InvalidSignature):
        return False


def _holds(content: bytes, key: Ed25519PublicKey, head: bytes | None) -> bool:
    lines = content.split(b"\n")
    if lines.pop() != b"" or not lines:
        return False
    before = hashlib.sha256(b"keystead journal 1\n" + key.public_bytes_raw()).digest()
    entries = [json.loads(line) for line in lines]
    first, hashes_by_number = 1, []
    if "anchor" in entries[0]:
        first = entries[0]["anchor"] + 1
        before = bytes.fromhex(entries[0]["chain"])
        hashes_by_number = [(entries[0]["anchor"], entries[0]["chain"])]
        lines, entries = lines[1:], entries[1:]
    if [entry["n"] for entry in entries] != list(range(first, first + len(entries))):
        return False
    hashes = _hashes(before, lines, entries)
    for line, entry, prev in zip(lines, entries, hashes, strict=False):
        if entry["action"] == "checkpoint":
            _require_signed(line, entry, prev, key)
    cuts = [(entry["upto"], entry["n"]) for entry in entries if entry["action"] == "cut"]
    deleted = max((upto for upto, n in cuts if type(upto) is int and upto < n), default=0)
    if entries[-1]["action"] != "checkpoint" or first > deleted + 1:
        return False
    hashes_by_number += [(entry["n"], entry["chain"]) for entry in entries]
    known = None if head is None else json.loads(head)
    return known is None or (known["n"], known["chain"]) in hashes_by_number


def _hashes(before: bytes, lines: list[bytes], entries: list[dict[str, Any]]) -> list[bytes]:
    hashes = [before]
    for line, entry in zip(lines, entries, strict=True):
        mark = b',"chain":"%b"}' % entry["chain"].encode()
        if not line.endswith(mark):
            raise ValueError("edited")
        hashes.append(hashlib.sha256(hashes[-1] + line.removesuffix(mark)).digest())
        if hashes[-1].hex() != entry["chain"]:
            raise ValueError("edited")
    return hashes


def _require_signed(line: bytes, entry: dict[str, Any], prev: bytes, key: Ed25519PublicKey) -> None:
    if list(entry) != ["n", "time", "action", "prev", "signature", "chain"]:
        raise ValueError("not the fields of a checkpoint")
    if json.dumps(entry, separators=(",", ":")).encode() != line:
        raise ValueError("not the form of a checkpoint")
    if entry["prev"] != prev.hex():
        raise ValueError("follows another entry")
    text = f"keystead journal checkpoint 1\n{entry['n']}\n{entry['time']}\n{entry['prev']}\n"
    signature = base64.b64decode(entry["signature"], validate=True)
    if base64.b64encode(signature).decode() != entry["signature"]:
        raise ValueError("not canonical base64")
    key.verify(signature, text.encode())
