"""What an Operator does with keys: sign, decrypt, encrypt. The key itself never leaves."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from keystead import algorithms
from keystead.algorithms import Mechanism, PrivateKey, Use
from keystead.algorithms.rsa import PKCS1, PKCS1_WITH_PADDING_ERRORS
from keystead.errors import InvalidInput
from keystead.model.ids import KeyId
from keystead.model.keys import require_use
from keystead.model.users import Caller
from keystead.operations.manage_keys import find
from keystead.operations.session import Session

Result = TypeVar("Result")

INLINE_BYTES: Final = 64 * 1024
"""Longer messages are worked on off the event loop, whatever the algorithm."""


async def sign(session: Session, caller: Caller, key_id: KeyId, mode: str, message: bytes) -> bytes:
    """Return the signature of `message` (a digest, for most modes) in sign mode `mode`."""
    use = _Use(_mechanism(Use.SIGN, mode), len(message), lambda key: key.sign(mode, message))
    return await _use(session, caller, key_id, use)


async def decrypt(
    session: Session,
    caller: Caller,
    key_id: KeyId,
    mode: str,
    ciphertext: bytes,
    iv: bytes | None,
) -> bytes:
    """Return what `ciphertext` decrypts to in `mode`; AES_CBC needs the 16-byte `iv`.

    A wrong PKCS#1 v1.5 padding is DecryptionFailed only if the operator has chosen so.
    """
    mechanism = _mechanism(Use.DECRYPT, mode)
    tells = session.pkcs1_padding_errors and mode == PKCS1
    variant = PKCS1_WITH_PADDING_ERRORS if tells else mode
    use = _Use(mechanism, len(ciphertext), lambda key: key.decrypt(variant, ciphertext, iv))
    return await _use(session, caller, key_id, use)


async def encrypt(
    session: Session, caller: Caller, key_id: KeyId, mode: str, message: bytes, iv: bytes | None
) -> tuple[bytes, bytes]:
    """Return ciphertext and IV; the IV is made when `iv` is None."""
    mechanism = _mechanism(Use.ENCRYPT, mode)
    use = _Use(mechanism, len(message), lambda key: key.encrypt(mode, message, iv))
    return await _use(session, caller, key_id, use)


class _Use(msgspec.Struct, Generic[Result], frozen=True):
    """A Struct, because one is made for each signature, in a third of the time of a dataclass."""

    mechanism: Mechanism
    size: int
    """Bytes to work on."""
    work: Callable[[PrivateKey], Result]


def _mechanism(use: Use, mode: str) -> Mechanism:
    try:
        return algorithms.BY_MODE[use, mode]
    except KeyError:
        raise InvalidInput(f"Unknown {use.value} mode.") from None


async def _use(session: Session, caller: Caller, key_id: KeyId, use: _Use[Result]) -> Result:
    """Use the key if its tags and mechanisms allow it; slow work is done off the event loop."""
    key = await find(session, caller, key_id)
    require_use(caller, key.record.tags)
    kind = use.mechanism.use.value
    if use.mechanism.name not in key.record.mechanisms:
        raise InvalidInput(f"Key mechanisms do not allow it to {kind}.")
    private = key.private
    if private.works_slowly or use.size > INLINE_BYTES:
        result = await session.crypto_pool.run(lambda: use.work(private))
    else:
        result = use.work(private)
    session.keys.count_use(key.path)
    session.metrics.count_key_operation(kind)
    return result
