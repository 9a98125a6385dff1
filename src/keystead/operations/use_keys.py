"""What an Operator does with keys. The key itself never leaves."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from keystead.algorithms import SIGN, Mechanism, Result, Use, mechanism_of
from keystead.certificates.csr import SubjectName, make_csr
from keystead.errors import InvalidInput
from keystead.model.keys import require_use
from keystead.model.users import Caller
from keystead.operations.manage_keys import find
from keystead.operations.session import Session
from keystead.operations.shares import of_user
from keystead.storage.key_cache import CachedKey

INLINE_BYTES: Final = 64 * 1024
"""Longer messages are worked on off the event loop, whatever the algorithm."""


async def use_key(
    session: Session,
    caller: Caller,
    key: CachedKey,
    wanted: tuple[Use, str],
    message: bytes,
    options: Mapping[str, bytes],
) -> Result:
    """Return what a use of `key` in a mode, `wanted`, makes of `message`.

    `key` is what `manage_keys.find` has found for the caller. Raises InvalidInput if the key
    cannot be used so or the message or an option does not fit, NotPermitted if the key's tags
    do not let this caller use it, and DecryptionFailed.
    """
    key, mechanism = await _usable(session, caller, key, *wanted)
    if options or mechanism.needs:
        mechanism.require_options(options)
    run = mechanism.run
    if session.pkcs1_padding_errors and mechanism.run_with_padding_errors is not None:
        run = mechanism.run_with_padding_errors
    if key.private.works_slowly or len(message) > INLINE_BYTES:
        work = partial(run, key.private, message, **options)
        result = await _in_a_thread(session, caller, key, work)
        # It may have waited long for a thread: nothing leaves that would not be begun now.
        key, mechanism = await _usable(session, caller, key, *wanted)
    else:
        result = run(key.private, message, **options)
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(mechanism.use.verb)
    return result


async def _in_a_thread(
    session: Session, caller: Caller, key: CachedKey, work: Callable[[], Result]
) -> Result:
    """Return work()'s result; when it is cancelled a use that has begun counts all the same."""
    begun: list[bool] = []

    def use() -> Result:
        begun.append(True)
        return work()

    try:
        return await session.crypto_pool.run(use, party=of_user(caller.user_id))
    except asyncio.CancelledError:
        if begun:
            session.keys.count_use(key.path)
        raise


async def csr(session: Session, caller: Caller, key: CachedKey, subject: SubjectName) -> bytes:
    """Return a PKCS#10 request for `subject`, signed by the key, as PEM.

    It is a signature: an Operator gets it of keys that it may sign with. An Administrator, who
    may not sign, gets it of every key, as in NetHSM.
    """
    private = (await _certifiable(session, caller, key)).private
    if private.works_slowly:
        pem = await session.crypto_pool.run(
            partial(make_csr, private, subject), party=of_user(caller.user_id)
        )
        key = await _certifiable(session, caller, key)
    else:
        pem = make_csr(private, subject)
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(SIGN.verb)
    session.note(caller, "certificate request signed", key=key.path.key_id)
    return pem


async def _certifiable(session: Session, caller: Caller, key: CachedKey) -> CachedKey:
    """Return the key as it is now, if this caller may have a certificate request signed by it."""
    caller.require_unrevoked()
    if not session.keys.is_current(key):
        key = await find(session, caller, key.path.key_id)
    if caller.is_administrator:
        return key
    require_use(caller, key.record.tags)
    rows = key.private.algorithm.mechanisms
    if key.record.mechanisms.isdisjoint(row.name for row in rows if row.use is SIGN):
        raise InvalidInput(f"Key mechanisms do not allow it to {SIGN.verb}.")
    return key


async def _usable(
    session: Session, caller: Caller, key: CachedKey, use: Use, mode: str
) -> tuple[CachedKey, Mechanism]:
    """Return the key as it is now and the mechanism, if the key's record allows this use."""
    caller.require_unrevoked()
    if not session.keys.is_current(key):
        # Changed since it was found, or gone: a long message has taken its time to arrive.
        key = await find(session, caller, key.path.key_id)
    require_use(caller, key.record.tags)
    mechanism = mechanism_of(key.private.algorithm, use, mode)
    if mechanism.name not in key.record.mechanisms:
        raise InvalidInput(f"Key mechanisms do not allow it to {use.verb}.")
    return key, mechanism
