"""The acknowledgement that a store is older than it should be: of what was shown, and no more."""

import hashlib
import os
from typing import Final

import msgspec

from keystead.errors import StoreRolledBack
from keystead.storage.bound_settings import Hashes

_CODE_BYTES: Final = 8
"""Nobody can make two findings with one code: that takes the key."""
_FOUND: Final = "The store is not the one that was written last. {} "
_CHANGED: Final = "This is not what the code acknowledges. "
_ADVICE: Final = (
    "If you have put back an older store yourself, unlock it with acknowledgeRollback {}."
)


class Acknowledgements:
    """Gives each finding a code. A code is of no use after a restart of the HSM."""

    def __init__(self) -> None:
        self._key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)

    def require(self, given: str, faults: str, *, journal: bytes, settings: Hashes) -> None:
        """Raise StoreRolledBack unless the code `given` is that of these faults of this store.

        `journal` is the sealed end of the journal, and `settings` are those of the device: of two
        stores with the same faults, only the one is acknowledged.
        """
        found = msgspec.msgpack.encode([faults, journal, sorted(settings.items())])
        code = hashlib.blake2b(found, key=self._key, digest_size=_CODE_BYTES).hexdigest()
        if given != code:
            changed = _CHANGED if given else ""
            message = _FOUND.format(faults) + changed + _ADVICE.format(code)
            raise StoreRolledBack(message, code=code)
