"""The thread pools of the core."""

import os
from typing import Final

import msgspec

from keystead.operations.work_pool import URGENT_WORK_NICENESS, WorkPool

SLOW_WORK_QUEUE: Final = 256
"""RSA operations that may wait for a thread: with RSA-4096, a fifth of a second on two CPUs."""
KEYGEN_QUEUE: Final = 64
"""RSA keys that may wait to be made or checked. The queue is separate, so that uses of keys need
not wait for it. With RSA-4096, the last key waits for about half a minute on two CPUs."""

KDF_THREADS: Final = 2
"""Where there is memory for them, and for the spare thread and that of unlock keys."""
KDF_QUEUE: Final = 96
"""Passphrases that may wait for key derivation, which takes 16 MiB and about 0.16 s each. In a full
queue, the last one waits for eight seconds."""

UNLOCK_QUEUE: Final = 4
"""Unlock keys that may wait to be derived. Attempts to unlock take turns before; a change of the
passphrase derives a key too."""


class Pools(msgspec.Struct, frozen=True):
    """All thread pools of the core."""

    crypto: WorkPool
    keygen: WorkPool
    kdf: WorkPool
    unlock: WorkPool

    @classmethod
    def start(cls, checks: int) -> "Pools":
        """Start all threads and return the pools.

        No more than `checks` keys are derived of passphrases at once: their memory has a limit.
        """
        cpus = sorted(os.sched_getaffinity(0))
        threads = len(cpus)
        return cls(
            WorkPool(
                name="crypto", threads=threads, queue_limit=SLOW_WORK_QUEUE, spares=1, cpus=cpus
            ),
            WorkPool(name="keygen", threads=threads, queue_limit=KEYGEN_QUEUE, spares=1),
            *_derivation(checks),
        )


def _derivation(checks: int) -> tuple[WorkPool, WorkPool]:
    """Return the pools for passphrases and for unlock keys, which are one where memory is short."""
    spares = 1 if checks > 2 else 0  # noqa: PLR2004 - one thread for each pool, then the spare one
    threads = max(1, min(KDF_THREADS, checks - spares - 1))
    kdf = WorkPool(name="kdf", threads=threads, queue_limit=KDF_QUEUE, spares=spares)
    if checks == 1:
        return kdf, kdf
    return kdf, WorkPool(
        name="unlock", threads=1, queue_limit=UNLOCK_QUEUE, niceness=URGENT_WORK_NICENESS
    )
