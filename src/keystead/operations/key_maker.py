"""Makes keys. Those that are asked for in one turn of the event loop are made in one go.

The cryptographic library and Python push each other out of the CPU's caches. To make many keys,
then seal them all, takes a sixth less of the core's time than to make and seal them by turns.
"""

import asyncio
from collections import deque
from time import perf_counter
from typing import Final

from keystead.algorithms import Algorithm, PrivateKey
from keystead.operations.shares import Party
from keystead.operations.work_pool import WorkPool
from keystead.self_tests.entropy import healthy_sample
from keystead.self_tests.round_trips import require_consistent

MOST_IN_A_TURN: Final = 32
"""The most keys that are made before other requests have their turn: six milliseconds with P-256.

Keys that are made together are committed together, and a commit takes etcd as long as many keys.
"""
MOST_SECONDS: Final = 0.015
"""No other key is begun in a turn after this time. One of P-384 or P-521 takes 1.5 milliseconds, so
that 32 would keep other requests waiting for 50."""

_Wanted = tuple[Algorithm, int | None, asyncio.Future[PrivateKey]]


class KeyMaker:
    """Makes new keys and tests them: fast ones on the event loop, slow ones in a thread."""

    def __init__(self, pool: WorkPool) -> None:
        """`pool` is for the slow ones."""
        self._pool = pool
        self._wanted: deque[_Wanted] = deque()

    async def make(self, algorithm: Algorithm, length: int | None, *, party: Party) -> PrivateKey:
        """Return a new key that works.

        Raises SelfTestFailed if it does not, or chance does not, and what the pool does.
        """
        if algorithm.generates_slowly:
            return await self._pool.run(lambda: _made(algorithm, length), party=party)
        loop = asyncio.get_running_loop()
        made: asyncio.Future[PrivateKey] = loop.create_future()
        if not self._wanted:
            loop.call_soon(self._make_some)
        self._wanted.append((algorithm, length, made))
        return await made

    def _make_some(self) -> None:
        began = perf_counter()
        for _ in range(min(len(self._wanted), MOST_IN_A_TURN)):
            algorithm, length, made = self._wanted.popleft()
            if made.done():  # Its caller was cancelled.
                continue
            try:
                made.set_result(_made(algorithm, length))
            except Exception as error:  # noqa: BLE001 - it is raised where the key is awaited
                made.set_exception(error)
            if perf_counter() - began >= MOST_SECONDS:
                break
        if self._wanted:
            asyncio.get_running_loop().call_soon(self._make_some)


def _made(algorithm: Algorithm, length: int | None) -> PrivateKey:
    healthy_sample()
    private = algorithm.generate(length)
    require_consistent(private)
    return private
