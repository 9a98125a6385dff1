"""Leases of uses of keys: taken from the key's record before any of them is used."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from keystead.errors import Conflict, KeysteadError, NotFound, Overloaded
from keystead.model.keys import KeyPath, KeyRecord
from keystead.storage.conditional import depend_on
from keystead.storage.key_cache import StoredKey
from keystead.storage.keys import KeyStore
from keystead.storage.use_limits import LOWEST_MARK, UseLimits, lease_size


async def lease(keys: KeyStore, key: StoredKey, uses: int) -> None:
    """Lease `uses` of a key, or as many as its record has left.

    The record is written before this returns. Other requests may use them first, and the policy may
    have changed: look at the key again. Raises Overloaded at the end of a restore, and Conflict if
    the policy has changed already.
    """
    limits = key.limits
    if limits is None or not keys.limits.has(key.path, limits):
        raise Conflict("The policy of the key has changed meanwhile. Try again.")
    async with limits.leasing:
        if limits.leased >= uses:
            return
        await asyncio.shield(keys.limits.begin_lease(_lease(keys, key.path, limits, uses)))


def lease_ahead(keys: KeyStore, key: StoredKey) -> None:
    """Begin to lease more uses of a key if few are left, so that no request has to wait for that.

    One lease of a key is written at a time. An error is left to the request that finds no use.
    """
    limits = key.limits
    if limits is None or limits.leased >= limits.low_mark or limits.leasing.locked():
        return
    if limits.low_mark == LOWEST_MARK:
        return
    limits.low_mark = LOWEST_MARK  # Until it is written: one that fails is not tried again here.
    with suppress(Overloaded):
        _ = keys.limits.begin_lease(_lease_ahead(keys, key.path, limits))


async def _lease_ahead(keys: KeyStore, path: KeyPath, limits: UseLimits) -> None:
    async with limits.leasing:
        with suppress(KeysteadError):
            await _lease(keys, path, limits, 0)


async def _lease(keys: KeyStore, path: KeyPath, limits: UseLimits, uses: int) -> None:
    depend_on(None)  # Other requests use the lease, too.
    leased = 0

    def edit(record: KeyRecord) -> KeyRecord:
        nonlocal leased
        leased = 0
        if record.policy is None or record.uses_left is None or not keys.limits.has(path, limits):
            return record
        if not limits.are_of(record):
            return record  # Another member of the cluster has set another policy.
        leased = lease_size(record.policy, record.uses_left, uses, limits.leased)
        return replace(record, uses_left=record.uses_left - leased)

    with suppress(NotFound):
        await keys.update(path, edit)
        limits.add_leased(leased)


async def return_leases(keys: KeyStore) -> None:
    """Give all leased uses back to their records. Nothing may use a key any more.

    The pending counts of uses are written, too, each with its key's lease. After an error, leases
    that were not given back are lost.
    """
    async with keys.limits.no_leases():
        await keys.flush_counts(dict(keys.limits.take_leased()))
