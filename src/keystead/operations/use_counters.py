"""The counters of operations are written every few seconds, not with each use of a key."""

import asyncio
from typing import Final

from keystead.errors import Conflict, StaleRevision, StoreUnavailable, WriteRefused
from keystead.operations.hsm import Hsm

FLUSH_SECONDS: Final = 5.0
"""How often operation counters are written; a crash may lose those of the last few seconds."""


async def flush_counters_forever(hsm: Hsm) -> None:
    """Write operation counters every few seconds. Run as a background task.

    It also notices when a store that could not write can write again, and forgets old shares.
    """
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        hsm.unlocking.given.forget_old()
        try:
            if hsm.session is not None:
                await hsm.session.flush_counters()
            if hsm.alarm.reason is not None:
                await hsm.store.commit([])
        except StoreUnavailable:
            hsm.recovery.store_lost()
        except (WriteRefused, Conflict, StaleRevision) as error:
            hsm.log.debug("cannot write operation counters yet", reason=error.message)
