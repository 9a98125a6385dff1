"""Lists of keys: all of them by ID, or pages that show each key."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, urlencode

import msgspec

from keystead import algorithms
from keystead.api.http.route import Call, Reply
from keystead.api.resources.keys import PublicKeyView, shown_fields
from keystead.api.resources.shapes import Item, id_list
from keystead.errors import InvalidInput
from keystead.model.ids import KeyId, parse_key_id, parse_label, parse_tag
from keystead.model.key_selection import KeySelection
from keystead.operations import list_keys as lists
from keystead.operations.list_keys import DetailedKey, ListedPart

MAX_LIMIT: Final = 1000
PAGE_BYTES: Final = 2 * 1024 * 1024
"""A page ends after this size, even if it has fewer keys than its limit."""
MOST_PARTS: Final = 64
"""A page ends after this many parts of the list, some thousands of keys, whatever it has found: a
search through a million keys is many short requests."""


class ListedKeyView(PublicKeyView, rename="camel", kw_only=True):
    """An item of GET /keys?details=true: what GET /keys/{id} shows, with its ID, its PEM and
    whether it has a certificate.
    """

    id: str
    has_certificate: bool
    public_pem: str | msgspec.UnsetType = msgspec.UNSET


async def list_keys(call: Call[None]) -> Reply[list[Item] | list[ListedKeyView]]:
    """GET /keys: the keys, those that ?label= and ?filter leave, or a page with ?details=true."""
    return await _list(call, prefix="")


async def list_prefix(call: Call[None]) -> Reply[list[Item] | list[ListedKeyView]]:
    """GET /keys/{prefix}*: the keys whose IDs begin so."""
    return await _list(call, prefix=parse_key_id(call.parameters["key_id"].removesuffix("*")))


async def _list(call: Call[None], *, prefix: str) -> Reply[list[Item] | list[ListedKeyView]]:
    if call.flag("details"):
        return await _page(call, prefix)
    found = await lists.list_keys(call.context, prefix=prefix, selection=_short_selection(call))
    return Reply(200, await id_list("id", found))


def _short_selection(call: Call[None]) -> KeySelection:
    """Return the conditions that a NetHSM knows too."""
    label, caller = call.query("label"), call.caller
    is_limited = call.query("filter") is not None and not caller.is_administrator
    return KeySelection(
        label=None if label is None else parse_label(label), user=caller if is_limited else None
    )


def _selection(call: Call[None]) -> KeySelection:
    part, tag, name = call.query("labelContains"), call.query("tag"), call.query("type")
    if name is not None and name not in algorithms.BY_NAME:
        raise InvalidInput("type must be the name of a key type.")
    return replace(
        _short_selection(call),
        label_part=parse_label(part or ""),
        tag=None if tag is None else parse_tag(tag),
        type_name=name or "",
    )


async def _page(call: Call[None], prefix: str) -> Reply[list[Item] | list[ListedKeyView]]:
    limit, after, chosen = _limit(call.query("limit")), call.query("after"), call.query("prefix")
    if prefix and chosen is not None:
        raise InvalidInput("The path has a prefix already.")
    parts = lists.list_details(
        call.context,
        prefix=prefix if chosen is None else parse_key_id(chosen),
        after=None if after is None else parse_key_id(after),
        selection=_selection(call),
    )
    async with aclosing(parts):
        items, last = await _first(parts, limit)
    headers = [] if last is None else [("Link", _link(call, last))]
    return Reply(200, _array(items), headers)


async def _first(parts: AsyncIterator[ListedPart], limit: int) -> tuple[list[bytes], KeyId | None]:
    """Return the first keys as JSON, until a page is full, and the last key that was looked at.

    That is None if it was the last of the list.
    """
    items: list[bytes] = []
    size = looked = 0
    async for part in parts:
        for key in part.selected:
            item = msgspec.json.encode(_listed(key))
            items.append(item)
            size += len(item)
            if len(items) == limit or size >= PAGE_BYTES:
                return items, key.key_id
        looked += 1
        if looked == MOST_PARTS:
            return items, part.last
    return items, None


def _array(items: Sequence[bytes]) -> bytes:
    """Return a JSON array, put together at once: each copy of two MiB takes long."""
    if not items:
        return b"[]"
    framed = [b"[" + items[0], *items[1:]]
    framed[-1] += b"]"
    return b",".join(framed)


def _link(call: Call[None], last: KeyId) -> str:
    """Return the value of Link (RFC 8288) that leads to the page after `last`."""
    sent = parse_qs(call.request.query, keep_blank_values=True)
    query = {name: values[0] for name, values in sent.items()} | {"after": last}
    return f'<?{urlencode(query)}>; rel="next"'


def _listed(key: DetailedKey) -> ListedKeyView:
    return ListedKeyView(
        **shown_fields(key.view),
        id=key.key_id,
        has_certificate=key.has_certificate,
        public_pem=msgspec.UNSET if key.public_pem is None else key.public_pem.decode(),
    )


def _limit(text: str | None) -> int:
    if text is None:
        return MAX_LIMIT
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)):
        limit = int(text)
        if 1 <= limit <= MAX_LIMIT:
            return limit
    raise InvalidInput(f"limit must be a number from 1 to {MAX_LIMIT}.")
