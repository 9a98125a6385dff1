"""Lists of keys: all of them by ID, or pages that show each key."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec

from keystead.api.http.route import Call, Reply
from keystead.api.resources.keys import PublicKeyView, public_view
from keystead.api.resources.shapes import Item, id_list
from keystead.errors import InvalidInput
from keystead.model.ids import parse_key_id, parse_label
from keystead.operations import manage_keys
from keystead.operations.manage_keys import DetailedKey

MAX_LIMIT: Final = 1000
PAGE_BYTES: Final = 2 * 1024 * 1024
"""A page ends after this size, even if it has fewer keys than its limit."""

_FLAGS: Final = {"true": True, "false": False}


class ListedKeyView(PublicKeyView, rename="camel", kw_only=True):
    """An item of GET /keys?details=true: what GET /keys/{id} shows, with its ID and PEM."""

    id: str
    public_pem: str | msgspec.UnsetType = msgspec.UNSET


async def list_keys(call: Call[None]) -> Reply[list[Item] | list[ListedKeyView]]:
    """GET /keys: the keys, those that ?label= and ?filter leave, or a page with ?details=true."""
    return await _list(call, prefix="")


async def list_prefix(call: Call[None]) -> Reply[list[Item] | list[ListedKeyView]]:
    """GET /keys/{prefix}*: the keys whose IDs begin so."""
    return await _list(call, prefix=parse_key_id(call.parameters["key_id"].removesuffix("*")))


async def _list(call: Call[None], *, prefix: str) -> Reply[list[Item] | list[ListedKeyView]]:
    label, chosen = call.query("label"), call.query("filter")
    details = call.query("details")
    if details is not None and _flag(details, name="details"):
        if label is not None or chosen is not None:
            raise InvalidInput("details cannot be combined with label or filter.")
        return await _page(call, prefix)
    found = await manage_keys.list_keys(
        call.context,
        prefix=prefix,
        label=None if label is None else parse_label(label),
        only_usable=chosen is not None,
    )
    return Reply(200, await id_list("id", found))


async def _page(call: Call[None], prefix: str) -> Reply[list[Item] | list[ListedKeyView]]:
    limit, after, chosen = _limit(call.query("limit")), call.query("after"), call.query("prefix")
    if prefix and chosen is not None:
        raise InvalidInput("The path has a prefix already.")
    keys = manage_keys.list_details(
        call.context,
        prefix=prefix if chosen is None else parse_key_id(chosen),
        after=None if after is None else parse_key_id(after),
    )
    async with aclosing(keys):
        items = await _first(keys, limit)
    return Reply(200, b"[%b]" % b",".join(items))


async def _first(keys: AsyncIterator[DetailedKey], limit: int) -> list[bytes]:
    """Return the first `limit` keys as JSON, or those that fill a page."""
    items: list[bytes] = []
    size = 0
    async for key in keys:
        item = msgspec.json.encode(_listed(key))
        items.append(item)
        size += len(item)
        if len(items) == limit or size >= PAGE_BYTES:
            break
    return items


def _listed(key: DetailedKey) -> ListedKeyView:
    shown = public_view(key.view)
    return ListedKeyView(
        **msgspec.structs.asdict(shown),
        id=key.key_id,
        public_pem=msgspec.UNSET if key.public_pem is None else key.public_pem.decode(),
    )


def _flag(text: str, *, name: str) -> bool:
    if text not in _FLAGS:
        raise InvalidInput(f"{name} must be true or false.")
    return _FLAGS[text]


def _limit(text: str | None) -> int:
    if text is None:
        return MAX_LIMIT
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)):
        limit = int(text)
        if 1 <= limit <= MAX_LIMIT:
            return limit
    raise InvalidInput(f"limit must be a number from 1 to {MAX_LIMIT}.")
