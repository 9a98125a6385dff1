"""What an Operator does with keys. The key itself never leaves."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from keystead.access.gate import CERTIFICATE_REQUEST, Attempt
from keystead.algorithms import SIGN, Result, Use
from keystead.certificates.csr import SubjectName, make_csr
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import find
from keystead.storage.key_cache import StoredKey

Made = TypeVar("Made")

INLINE_BYTES: Final = 64 * 1024
"""Longer messages are worked on off the event loop, whatever the algorithm."""


async def use_key(
    context: CallerContext,
    key: StoredKey,
    use: Use,
    mode: str,
    message: bytes,
    options: Mapping[str, bytes],
) -> Result:
    """Return what a permitted use of `key` makes of `message`.

    `key` is what `manage_keys.find` has found for the caller, and `mode` is what the request calls
    the mechanism. Raises what the gate does, InvalidInput if the message or an option does not fit,
    and DecryptionFailed.
    """
    session = context.session
    if not session.keys.is_current(key):
        key = await _current(context, key)
    attempt = _attempt(context, key, use, mode)
    permit, mechanism = session.gate.permit(attempt, key)
    if options or mechanism.needs:
        mechanism.require_options(options)
    run = mechanism.run
    if session.pkcs1_padding_errors and mechanism.run_with_padding_errors is not None:
        run = mechanism.run_with_padding_errors
    private = key.release(permit)
    if not private.works_slowly and len(message) <= INLINE_BYTES:
        result = run(private, message, **options)
    else:
        result = await _in_a_thread(
            context, attempt, key, partial(run, private, message, **options)
        )
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(use.verb)
    return result


async def csr(context: CallerContext, key: StoredKey, subject: SubjectName) -> bytes:
    """Return a PKCS #10 request for `subject`, signed by the key, as PEM. Raises as the gate."""
    session = context.session
    key = await _current(context, key)
    attempt = _attempt(context, key, SIGN, CERTIFICATE_REQUEST)
    private = key.release(session.gate.permit_certificate_request(attempt, key))
    if private.works_slowly:
        pem = await _in_a_thread(context, attempt, key, partial(make_csr, private, subject))
    else:
        pem = make_csr(private, subject)
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(SIGN.verb)
    context.note("certificate request signed", key=key.path.key_id)
    return pem


def _attempt(context: CallerContext, key: StoredKey, use: Use, mode: str) -> Attempt:
    """Return one use of a key, for the gate to judge."""
    return Attempt(context.caller, context.address, key.path, use, mode, 1, context.now)


async def _current(context: CallerContext, key: StoredKey) -> StoredKey:
    """Return the key as it is now, if it changed while a long message arrived."""
    if context.session.keys.is_current(key):
        return key
    return await find(context, key.path.key_id)


async def _in_a_thread(
    context: CallerContext, attempt: Attempt, key: StoredKey, work: Callable[[], Made]
) -> Made:
    """Return work()'s result, if the use would still be permitted when it is done.

    It may have waited long for a thread: nothing leaves that would not be begun now. A use that has
    begun counts also when its request is cancelled.
    """
    session = context.session
    begun: list[bool] = []

    def begin() -> Made:
        begun.append(True)
        return work()

    try:
        result = await session.crypto_pool.run(begin, party=context.party)
    except asyncio.CancelledError:
        if begun:
            session.keys.count_use(key.path)
        raise
    session.gate.require_still_permitted(attempt, await _current(context, key))
    return result
