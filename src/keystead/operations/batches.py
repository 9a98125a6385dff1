"""Many messages for one key in one request: all of them, or none."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from keystead.algorithms import PrivateKey, Result, Use
from keystead.errors import InvalidInput
from keystead.model.secret import Hidden
from keystead.operations.caller_context import CallerContext
from keystead.operations.use_keys import NOT_USED, attempt_of, reason_of
from keystead.operations.use_permits import current, ready
from keystead.storage.key_cache import StoredKey
from keystead.storage.leases import lease_ahead

MAX_MESSAGES: Final = 1000
PART_MESSAGES: Final = 32
"""What a thread does in one go with a fast key: about a millisecond, so that other work gets its
turn."""
PART_BYTES: Final = 256 * 1024
PARTS_A_THREAD: Final = 2
"""Parts of a batch that wait for a thread or have one: one to work on, and the next."""


class WantedBatch(Hidden):
    """What a request asks of a key for many messages."""

    use: Use
    mode: str
    """What the request calls the mechanism."""
    messages: Sequence[bytes]
    options: Mapping[str, Any]


async def use_key_for_each(
    context: CallerContext, key: StoredKey, wanted: WantedBatch
) -> list[Result]:
    """Return what a permitted use of `key` makes of each message, in their order.

    Raises what the gate does, InvalidInput with the place of a message that does not fit,
    WrongState if the HSM is locked meanwhile, and Overloaded if too many uses wait for a thread.
    Nothing is counted then. Otherwise each message is one use.
    """
    session, use, uses = context.session, wanted.use, len(wanted.messages)
    attempt = attempt_of(context, key, use, wanted.mode, uses)
    attempt, key = await ready(context, attempt, key)
    permit, mechanism = session.gate.permit(attempt, key)
    lease_ahead(session.keys, key)
    private = key.release(permit)
    is_slow = private.works_slowly or mechanism.works_slowly
    batch = _Batch(wanted, mechanism.run, private, most_messages=1 if is_slow else PART_MESSAGES)
    try:
        mechanism.require_options(wanted.options)
        results = await batch.run(context)
    except NOT_USED as error:
        session.gate.withdraw(attempt, permit, reason_of(error))
        raise
    except asyncio.CancelledError:  # The client is gone, and some uses have begun.
        session.keys.count_use(key.path, uses)
        raise
    session.gate.require_still_permitted(attempt, await current(context, key))
    session.keys.count_use(key.path, uses)
    session.metrics.count_key_operation(use.verb, uses)
    return results


@dataclass(slots=True)
class _Batch:
    """A batch on its way through the threads, which take the next part when they are free."""

    wanted: WantedBatch
    use_key: Callable[..., Result] = field(repr=False)
    private: PrivateKey
    most_messages: int
    """In a part."""

    async def run(self, context: CallerContext) -> list[Result]:
        """Return the results in the order of the messages."""
        parts = self._parts()
        results: dict[int, list[Result]] = {}
        pool = context.session.crypto_pool

        async def take_parts() -> None:
            for part in parts:
                context.session.require_domain_key()  # After a lock, no key goes on working.
                work = partial(self._work, part)
                results[part.start] = await pool.run(work, party=context.party)

        takers = PARTS_A_THREAD * pool.threads
        tasks = [asyncio.create_task(take_parts()) for _ in range(takers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [result for start in sorted(results) for result in results[start]]

    def _parts(self) -> Iterator[range]:
        """Yield the places of the messages of each part."""
        start = size = 0
        for place, message in enumerate(self.wanted.messages):
            if place - start == self.most_messages or size > PART_BYTES:
                yield range(start, place)
                start, size = place, 0
            size += len(message)
        yield range(start, len(self.wanted.messages))

    def _work(self, part: range) -> list[Result]:
        """Return the results of a part, in a thread of the pool."""
        messages, options = self.wanted.messages, self.wanted.options
        done: list[Result] = []
        for place in part:
            try:
                done.append(self.use_key(self.private, messages[place], **options))
            except InvalidInput as error:
                raise InvalidInput(f"messages[{place}]: {error.message}") from None
        return done
