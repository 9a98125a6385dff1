"""What an Operator does with keys: sign, decrypt, encrypt. The key itself never leaves."""

from collections.abc import Callable
from typing import TypeVar

from keystead import algorithms
from keystead.algorithms import Mechanism, PrivateKey, Use
from keystead.errors import InvalidInput
from keystead.model.ids import KeyId
from keystead.model.keys import KeyPath, require_use
from keystead.model.users import Caller
from keystead.operations.manage_keys import find, require
from keystead.operations.session import Session
from keystead.storage.key_cache import CachedKey

Result = TypeVar("Result")


async def sign(session: Session, caller: Caller, key_id: KeyId, mode: str, message: bytes) -> bytes:
    """Return the signature of `message` (a digest, for most modes) in sign mode `mode`."""
    return await _use(
        session, caller, key_id, _mechanism(Use.SIGN, mode), lambda key: key.sign(mode, message)
    )


async def decrypt(
    session: Session,
    caller: Caller,
    key_id: KeyId,
    mode: str,
    ciphertext: bytes,
    iv: bytes | None,
) -> bytes:
    """Return what `ciphertext` decrypts to in `mode`; AES_CBC needs the 16-byte `iv`."""
    return await _use(
        session,
        caller,
        key_id,
        _mechanism(Use.DECRYPT, mode),
        lambda key: key.decrypt(mode, ciphertext, iv),
    )


async def encrypt(
    session: Session, caller: Caller, key_id: KeyId, mode: str, message: bytes, iv: bytes | None
) -> tuple[bytes, bytes]:
    """Return ciphertext and IV; the IV is made when `iv` is None."""
    return await _use(
        session,
        caller,
        key_id,
        _mechanism(Use.ENCRYPT, mode),
        lambda key: key.encrypt(mode, message, iv),
    )


def _mechanism(use: Use, mode: str) -> Mechanism:
    try:
        return algorithms.BY_MODE[use, mode]
    except KeyError:
        raise InvalidInput(f"Unknown {use.value} mode.") from None


async def _use(
    session: Session,
    caller: Caller,
    key_id: KeyId,
    mechanism: Mechanism,
    work: Callable[[PrivateKey], Result],
) -> Result:
    """Return work(key) once the key's tags and mechanisms allow it; slow keys work off the loop."""
    key: CachedKey = await find(session, caller, key_id)
    require_use(caller, key.record.tags)
    if mechanism.name not in key.record.mechanisms:
        raise InvalidInput(f"Key mechanisms do not allow it to {mechanism.use.value}.")
    private = key.private
    if private.works_slowly:
        result = await session.crypto_pool.run(lambda: work(private))
    else:
        result = work(private)
    session.keys.count_use(KeyPath(caller.namespace, key_id))
    session.metrics.count_key_operation(mechanism.use.value)
    return result


__all__ = ["decrypt", "encrypt", "require", "sign"]
