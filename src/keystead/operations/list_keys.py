"""Lists of keys: their IDs, or all that is public of them, in pages."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from keystead.model.ids import KeyId
from keystead.model.key_selection import EVERY_KEY, KeySelection
from keystead.model.keys import KeyPath
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import KeyView
from keystead.storage.key_lists import ShownKey

_STEP: Final = 64
"""Keys that a list with details looks at in one go, in less than three milliseconds."""
_PARSED: Final = 16
"""A key that is parsed takes as long as this many that are only looked at, or were shown before."""


class DetailedKey(NamedTuple):
    """A key in a list with details."""

    key_id: KeyId
    view: KeyView
    public_pem: bytes | None
    """SubjectPublicKeyInfo PEM, or None for a key without a public half."""
    has_certificate: bool


class ListedPart(NamedTuple):
    """Keys that follow each other: those that were selected, and the last that was looked at."""

    selected: list[DetailedKey]
    last: KeyId


async def list_keys(context: CallerContext, *, prefix: str, selection: KeySelection) -> list[KeyId]:
    """Return the IDs in the caller's namespace that begin with `prefix`, in order.

    A condition on the type is ignored.
    """
    if selection == EVERY_KEY:
        return await context.session.keys.lists.ids(context.caller.namespace, prefix)
    kept: list[KeyId] = []
    after: KeyId | None = None
    while True:
        # Lists take turns page by page, because such a list reads every record.
        async with context.session.listing.turn(context.party):
            page = await context.session.keys.lists.page(
                context.caller.namespace, prefix, after=after
            )
        if not page:
            return kept
        kept.extend(key.key_id for key in page if selection.is_met_by(key.label, key.tags))
        after = page[-1].key_id


async def list_details(
    context: CallerContext, *, prefix: str, after: KeyId | None, selection: KeySelection
) -> AsyncGenerator[ListedPart, None]:
    """Yield the keys whose IDs begin with `prefix` and follow `after`, in order of the IDs.

    Each part has looked at some dozens of keys.
    """
    while True:
        # As in list_keys. A turn ends before keys are yielded: their reader may take long.
        async with context.session.listing.turn(context.party):
            part = await _next_part(context, prefix, after, selection)
        if part is None:
            return
        yield part
        after = part.last


async def _next_part(
    context: CallerContext, prefix: str, after: KeyId | None, selection: KeySelection
) -> ListedPart | None:
    """Return the first of these keys, in steps between which others are served. None: no more."""
    selected: list[DetailedKey] = []
    work = 0
    last: KeyId | None = None
    page = await context.session.keys.lists.shown_page(
        context.caller.namespace, prefix, after=after, selection=selection
    )
    for key_id, key in page:
        last = key_id
        if key is not None:
            selected.append(_details(context, key))
        work += _PARSED if key is not None and not key.was_known else 1
        if work >= _STEP:
            work = 0
            await asyncio.sleep(0)
    return None if last is None else ListedPart(selected, last)


def _details(context: CallerContext, key: ShownKey) -> DetailedKey:
    path = KeyPath(context.caller.namespace, key.key_id)
    shown, public = key.summary, key.summary.public
    view = KeyView(
        type_name=public.type_name,
        mechanisms=shown.mechanisms,
        tags=shown.tags,
        label=shown.label,
        public=public.parts,
        operations=context.session.keys.operations(path, shown.operations),
    )
    return DetailedKey(key.key_id, view, public.pem, shown.has_certificate)
