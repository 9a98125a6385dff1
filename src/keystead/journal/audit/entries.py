"""The entries of the journal, and the chain that binds them: docs/journal.md has the format."""

import base64
import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from keystead.model.timestamps import in_milliseconds

ORIGIN: Final = b"keystead journal 1\n"
"""Hashed with the public key, it is what the first entry follows."""
_CHECKPOINT: Final = b"keystead journal checkpoint 1\n"
CHECKPOINT_ACTION: Final = "checkpoint"
OPENED: Final = "journal opened"
"""The first entry after each unlock."""
RESTORE: Final = "POST /system/restore"
DONE: Final = "done"
"""The outcome of an action that has ended the session."""


class JournalEntry(msgspec.Struct, omit_defaults=True):
    """One event. Fields without a value are left out."""

    time: str
    """RFC 3339, in UTC."""
    action: str
    """The route of a management action, the verb of a use, or an event of the journal itself."""
    who: str = ""
    address: str = ""
    namespace: str = ""
    """The namespace of the key."""
    key: str = ""
    target: str = ""
    """What else the action is about: a user, a namespace, a tag."""
    mode: str = ""
    outcome: str = ""
    """The status of the response, or the reason of a refusal."""
    count: int = 0
    """How many equal events the entry stands for, if it stands for more than itself."""
    upto: int = 0
    """The last entry that was deleted, for entries about deletions."""
    request: int = 0
    """The number of the request in the log."""


class _Numbered(msgspec.Struct):
    n: int


class _Checkpoint(msgspec.Struct):
    n: int
    time: str
    action: str
    prev: str
    signature: str


def rfc3339(seconds: float) -> str:
    """Return a time as text, to the millisecond."""
    return in_milliseconds(seconds) + "Z"


def origin(public_raw: bytes) -> bytes:
    """Return the hash that the first entry of a journal follows. It names the journal's key."""
    return hashlib.sha256(ORIGIN + public_raw).digest()


class Chain:
    """The end of a chain of entries: the next entry follows it."""

    def __init__(self, number: int, digest: bytes) -> None:
        """Begin after entry `number` with the hash `digest`, or after 0 with the origin."""
        self.number = number
        self.digest = digest

    def copy(self) -> "Chain":
        """Return a chain that ends at the same entry."""
        return Chain(self.number, self.digest)

    def line(self, entry: JournalEntry) -> bytes:
        """Append an entry, and return its line with its newline."""
        head = msgspec.json.encode(_Numbered(self.number + 1))
        return self._append(head[:-1] + b"," + msgspec.json.encode(entry)[1:-1])

    def checkpoint(self, time: str, sign: Callable[[bytes], bytes]) -> bytes:
        """Append a signed checkpoint, and return its line with its newline."""
        number, prev = self.number + 1, self.digest.hex()
        signed = _CHECKPOINT + f"{number}\n{time}\n{prev}\n".encode()
        signature = base64.b64encode(sign(signed)).decode()
        checkpoint = _Checkpoint(number, time, CHECKPOINT_ACTION, prev, signature)
        return self._append(msgspec.json.encode(checkpoint)[:-1])

    def _append(self, body: bytes) -> bytes:
        """Append the line that begins with `body`, up to the comma before `chain`."""
        self.digest = hashlib.sha256(self.digest + body).digest()
        self.number += 1
        return b'%b,"chain":"%b"}\n' % (body, self.digest.hex().encode())


def follows(chain: Chain, line: bytes) -> bool:
    """Whether `line`, with its newline, is the next entry. If so, the chain ends there then."""
    body = line[: -len(b',"chain":""}\n') - 64]
    after = chain.copy()
    if after._append(body) != line:  # noqa: SLF001 - of its own module
        return False
    chain.number, chain.digest = after.number, after.digest
    return True
