"""Lists of keys: their IDs, or all that is public of them, in pages."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from keystead.model.ids import KeyId
from keystead.model.key_selection import EVERY_KEY, KeySelection
from keystead.model.keys import KeyPath
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import KeyView
from keystead.storage.key_lists import SealedPage, ShownKey, may_wait

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

    Each part has looked at some dozens of keys. From the second part on, the store reads the
    records of the next one meanwhile: it reads none in vain for a short list.
    """
    lists, namespace = context.session.keys.lists, context.caller.namespace
    page: SealedPage | None = None
    reads_ahead = False
    while True:
        # As in list_keys. A turn ends before keys are yielded: their reader may take long.
        async with context.session.listing.turn(context.party):
            if page is None:
                page = await lists.sealed_page(namespace, prefix, after=after)
            if not page:
                return
            after = page[-1][0].key_id
            selecting = _selected(context, page, selection)
            if reads_ahead:
                reading = lists.sealed_page(namespace, prefix, after=after)
                page, selected = await asyncio.gather(reading, selecting)
            else:
                page, selected = None, await selecting
        if page is not None and not may_wait(page):
            page = None
        yield ListedPart(selected, after)
        reads_ahead = True


async def _selected(
    context: CallerContext, page: SealedPage, selection: KeySelection
) -> list[DetailedKey]:
    """Return the selected keys of a page, in steps between which others are served."""
    selected: list[DetailedKey] = []
    work = 0
    for _, key in context.session.keys.lists.shown(page, selection):
        if key is not None:
            selected.append(_details(context, key))
        work += _PARSED if key is not None and not key.was_known else 1
        if work >= _STEP:
            work = 0
            await asyncio.sleep(0)
    return selected


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
