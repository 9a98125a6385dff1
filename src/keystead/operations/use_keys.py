"""Uses of keys by Operators. The key itself never leaves the HSM."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from keystead.access.gate import CERTIFICATE_REQUEST, Attempt
from keystead.algorithms import GENERIC, SIGN, PrivateKey, PrivateParts, Result, Use
from keystead.certificates.csr import SubjectName, make_csr
from keystead.errors import InvalidInput, KeysteadError, Overloaded
from keystead.model.ids import KeyId
from keystead.model.keys import Origin, Permit
from keystead.model.secret import Hidden
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import KeyAttributes, add, require_new
from keystead.operations.use_permits import current, ready
from keystead.storage.key_cache import StoredKey
from keystead.storage.leases import lease_ahead

Made = TypeVar("Made")

INLINE_BYTES: Final = 64 * 1024
"""Messages that are longer with their options are processed in a thread, whatever the algorithm."""

NOT_USED: Final = (InvalidInput, Overloaded)
"""The errors after which nothing is counted: the message does not fit, or no thread is free.

A failed decryption counts, because its result tells something about the key.
"""
_UNFIT: Final = "The message or an option does not fit."
_GIVEN_UP: Final = "The request was given up."


class WantedUse(Hidden):
    """What a request asks of a key."""

    use: Use
    mode: str
    """What the request calls the mechanism."""
    message: bytes | None
    """None if the use has none."""
    options: Mapping[str, Any]
    is_long: bool
    """What `is_long` says of message and options."""

    def work(
        self, run: Callable[..., Result], private: PrivateKey, finish: Callable[[Result], Made]
    ) -> Made:
        """Return finish(what `run`, a mechanism's function, makes of the message)."""
        if self.message is None:
            return finish(run(private, **self.options))
        if not self.options:  # As in nearly every request, and twice as fast.
            return finish(run(private, self.message))
        return finish(run(private, self.message, **self.options))


def is_long(message: bytes | None, options: Mapping[str, Any]) -> bool:
    """Return whether a use takes longer than an event loop may wait, by its length alone."""
    size = 0 if message is None else len(message)
    for option in options.values():
        size += len(option) if isinstance(option, bytes) else 0
    return size > INLINE_BYTES


class NewKey(msgspec.Struct, frozen=True):
    """The Generic key that a secret is to become."""

    key_id: KeyId | None
    """None: one is made up."""
    attributes: KeyAttributes
    inherits_tags: bool
    """Whether its tags are those of the key that gives the secret."""
    bits: int | None
    """Its length; None: the secret's."""

    def of_secret(self, secret: Result) -> PrivateKey:
        """Return the key that `secret` begins with. Raises InvalidInput if it is too short."""
        if not isinstance(secret, bytes):
            raise TypeError("only a secret can become a key")
        if self.bits is None:
            return GENERIC.from_parts(PrivateParts(data=secret))
        if self.bits % 8 or not 0 <= self.bits <= 8 * len(secret):
            raise InvalidInput(
                f"The new key must have a multiple of 8 bits, and at most {8 * len(secret)} bits, "
                f"not {self.bits}."
            )
        return GENERIC.from_parts(PrivateParts(data=secret[: self.bits // 8]))


async def use_key(
    context: CallerContext,
    key: StoredKey,
    wanted: WantedUse,
    finish: Callable[[Result], Made],
) -> Made:
    """Return finish(what a permitted use of `key` gives).

    `key` is what `manage_keys.find` has found for the caller. Raises what the gate and `finish` do,
    InvalidInput if the message or an option does not fit, and DecryptionFailed if a ciphertext does
    not open.
    """
    session = context.session
    if not session.keys.is_current(key):
        key = await current(context, key)
    attempt = Attempt(
        wanted.mode, 1, context.address, context.now, context.caller, key.path, wanted.use
    )
    policy, limits = key.record.policy, key.limits
    # Nearly all uses need neither an approval nor a lease: no function is called for these.
    asks_first = policy is not None and (
        policy.needs_approval or (limits is not None and limits.leased < limits.low_mark)
    )
    if asks_first:
        attempt, key = await ready(context, attempt, key)
    permit, mechanism = session.gate.permit(attempt, key)
    if asks_first:
        lease_ahead(session.keys, key)
    try:
        if wanted.options or mechanism.needs:
            mechanism.require_options(wanted.options)
        run = mechanism.run
        if session.pkcs1_padding_errors and mechanism.run_with_padding_errors is not None:
            run = mechanism.run_with_padding_errors
        private = key.release(permit)
        if private.works_slowly or mechanism.works_slowly or wanted.is_long:
            work = partial(wanted.work, run, private, finish)
            made = await _in_a_thread(context, attempt, key, permit, work)
        else:
            made = wanted.work(run, private, finish)
    except NOT_USED as error:
        session.gate.withdraw(attempt, permit, reason_of(error))
        raise
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(wanted.use.verb)
    return made


async def use_key_into(
    context: CallerContext, key: StoredKey, wanted: WantedUse, new: NewKey
) -> KeyId:
    """Make a Generic key of the secret that a use of `key` gives, and return its ID.

    Raises what `use_key` does and what `manage_keys.generate` does for such a key. Nothing is
    counted if the secret does not fit.
    """
    await require_new(context, new.key_id, GENERIC, new.attributes)
    private = await use_key(context, key, wanted, new.of_secret)
    attributes = new.attributes
    if new.inherits_tags:
        tags = (await current(context, key)).record.tags
        attributes = msgspec.structs.replace(attributes, tags=tags)
    return await add(context, new.key_id, private, attributes, origin=Origin.DERIVED)


async def csr(context: CallerContext, key: StoredKey, subject: SubjectName) -> bytes:
    """Return a PKCS #10 request for `subject`, signed by the key, as PEM. Raises as the gate."""
    session = context.session
    attempt = attempt_of(context, key, SIGN, CERTIFICATE_REQUEST)
    attempt, key = await ready(context, attempt, key)
    permit = session.gate.permit_certificate_request(attempt, key)
    private = key.release(permit)
    try:
        if private.works_slowly:
            work = partial(make_csr, private, subject)
            pem = await _in_a_thread(context, attempt, key, permit, work)
        else:
            pem = make_csr(private, subject)
    except NOT_USED as error:
        session.gate.withdraw(attempt, permit, reason_of(error))
        raise
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(SIGN.verb)
    context.note("certificate request signed", key=key.path.key_id)
    return pem


def attempt_of(
    context: CallerContext, key: StoredKey, use: Use, mode: str, uses: int = 1
) -> Attempt:
    """Return uses of a key, for the gate to judge."""
    return Attempt(mode, uses, context.address, context.now, context.caller, key.path, use)


def reason_of(error: KeysteadError) -> str:
    """Return why nothing came of a use, in one of few texts, so that equal ones are counted."""
    return _UNFIT if isinstance(error, InvalidInput) else error.message


async def _in_a_thread(
    context: CallerContext,
    attempt: Attempt,
    key: StoredKey,
    permit: Permit,
    work: Callable[[], Made],
) -> Made:
    """Return the result of `work`, if the use is still permitted when the work is done.

    The work may have waited long for a thread. Its result is dropped if the use would be refused
    by now. If the request is cancelled, a use that has begun is counted, and one that has not is
    given back to the limits of the key's policy.
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
        else:
            session.gate.withdraw(attempt, permit, _GIVEN_UP)
        raise
    session.gate.require_still_permitted(attempt, await current(context, key))
    return result
