"""What an Operator does with keys: sign, decrypt, encrypt. The key itself never leaves.

`key` is what `manage_keys.find` has found for the caller.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from keystead import algorithms
from keystead.algorithms import Use
from keystead.algorithms.rsa import PKCS1, PKCS1_WITH_PADDING_ERRORS
from keystead.errors import InvalidInput
from keystead.model.keys import require_use
from keystead.model.users import Caller
from keystead.operations.manage_keys import find
from keystead.operations.session import Session
from keystead.storage.key_cache import CachedKey

Result = TypeVar("Result")

INLINE_BYTES: Final = 64 * 1024
"""Longer messages are worked on off the event loop, whatever the algorithm."""


async def sign(
    session: Session, caller: Caller, key: CachedKey, mode: str, message: bytes
) -> bytes:
    """Return the signature of `message` (a digest, for most modes) in sign mode `mode`."""
    key = await _usable(session, caller, key, Use.SIGN, mode)
    private = key.private
    return await _work(session, key, Use.SIGN, len(message), lambda: private.sign(mode, message))


async def decrypt(
    session: Session,
    caller: Caller,
    key: CachedKey,
    mode: str,
    ciphertext: bytes,
    iv: bytes | None,
) -> bytes:
    """Return what `ciphertext` decrypts to in `mode`; AES_CBC needs the 16-byte `iv`.

    A wrong PKCS#1 v1.5 padding is DecryptionFailed only if the operator has chosen so.
    """
    key = await _usable(session, caller, key, Use.DECRYPT, mode)
    private = key.private
    tells = session.pkcs1_padding_errors and mode == PKCS1
    variant = PKCS1_WITH_PADDING_ERRORS if tells else mode
    return await _work(
        session,
        key,
        Use.DECRYPT,
        len(ciphertext),
        lambda: private.decrypt(variant, ciphertext, iv),
    )


async def encrypt(
    session: Session, caller: Caller, key: CachedKey, mode: str, message: bytes, iv: bytes | None
) -> tuple[bytes, bytes]:
    """Return ciphertext and IV; the IV is made when `iv` is None."""
    key = await _usable(session, caller, key, Use.ENCRYPT, mode)
    private = key.private
    return await _work(
        session, key, Use.ENCRYPT, len(message), lambda: private.encrypt(mode, message, iv)
    )


async def _usable(
    session: Session, caller: Caller, key: CachedKey, use: Use, mode: str
) -> CachedKey:
    """Return the key as it is now, if its tags and mechanisms allow this use of it."""
    mechanism = algorithms.BY_MODE.get((use, mode))
    if mechanism is None:
        raise InvalidInput(f"Unknown {use.verb} mode.")
    if not session.keys.is_current(key):
        # Changed since it was found, or gone: a long message has taken its time to arrive.
        key = await find(session, caller, key.path.key_id)
    require_use(caller, key.record.tags)
    if mechanism.name not in key.record.mechanisms:
        raise InvalidInput(f"Key mechanisms do not allow it to {use.verb}.")
    return key


async def _work(
    session: Session, key: CachedKey, use: Use, size: int, work: Callable[[], Result]
) -> Result:
    """Return what `work` does with `size` bytes and the key; slow work leaves the event loop."""
    if key.private.works_slowly or size > INLINE_BYTES:
        result = await session.crypto_pool.run(work)
    else:
        result = work()
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(use.verb)
    return result
