"""The audit journal, for Auditors and root Administrators."""

from typing import Final

import msgspec

from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.api.resources.shapes import json_reply
from keystead.errors import InvalidInput
from keystead.model.journal_settings import JournalSettings
from keystead.operations import device_settings
from keystead.storage.settings import JOURNAL

_LARGEST_NUMBER: Final = 2**53
_MOST_DIGITS: Final = 16
"""The digits of the largest number."""


class JournalHead(msgspec.Struct):
    """GET /journal/head: the line of a checkpoint. `docs/journal.md` has the meaning."""

    n: int
    time: str
    action: str
    prev: str
    signature: str
    chain: str


async def settings(call: Call[None]) -> Reply[JournalSettings]:
    """GET /config/journal: what the journal records, and its size."""
    return json_reply(call.hsm.audit.settings)


async def set_settings(call: Call[JournalSettings]) -> Reply[None]:
    """PUT /config/journal: what it records, and its size; what is not given gets its default."""
    wanted = await call.json(JournalSettings)
    await device_settings.put(call.hsm, call.context, JOURNAL, wanted)
    call.hsm.audit.settings_changed(wanted)
    return NO_CONTENT


async def entries(call: Call[None]) -> Reply[bytes]:
    """GET /journal: entries from number `from` on, at most `limit`, as JSON lines."""
    start = _number(call, "from", default=1)
    limit = None if call.query("limit") is None else _number(call, "limit", default=1)
    return Reply(200, parts=await call.hsm.audit.export(start, limit))


async def head(call: Call[None]) -> Reply[JournalHead]:
    """GET /journal/head: a signed checkpoint that covers every entry until now."""
    return Reply(200, await call.hsm.audit.head())


async def public_key(call: Call[None]) -> Reply[bytes]:
    """GET /journal/key.pem: the public key that verifies checkpoints."""
    return Reply(200, await call.hsm.audit.public_pem())


async def remove(call: Call[None]) -> Reply[None]:
    """DELETE /journal: delete the entries up to number `upto`, which a checkpoint must follow."""
    if call.query("upto") is None:
        raise InvalidInput("The parameter upto is missing.")
    upto = _number(call, "upto", default=1)
    await call.hsm.audit.remove(call.caller, call.request.client, upto)
    return NO_CONTENT


def _number(call: Call[None], name: str, *, default: int) -> int:
    text = call.query(name)
    if text is None:
        return default
    is_number = len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit()
    if not is_number or not 1 <= int(text) <= _LARGEST_NUMBER:
        raise InvalidInput(f"{name} must be a whole number from 1 to 2^53, of at most 16 digits.")
    return int(text)
