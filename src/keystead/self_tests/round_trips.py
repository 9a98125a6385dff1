"""Pairwise tests: a key verifies what it signs, decrypts what it encrypts, agrees with another."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from keystead.algorithms import (
    DECAPSULATE,
    DECRYPT,
    DERIVE,
    ENCAPSULATE,
    ENCRYPT,
    SIGN,
    VERIFY,
    Algorithm,
    Mechanism,
    PrivateKey,
    Use,
    mechanism_of,
)
from keystead.errors import InvalidInput, SelfTestFailed

_BACK: Final = {SIGN: VERIFY, ENCRYPT: DECRYPT, ENCAPSULATE: DECAPSULATE}
_MESSAGES: Final = tuple(bytes(length) for length in (32, 48, 64, 20, 28, 16))
"""As long as digests, and as whole blocks. Each mode takes one of them."""


def tests(
    algorithm: Algorithm, key_of: Callable[[], PrivateKey]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of each round trip of a key type, and what tests it: it raises if not."""
    for row in algorithm.mechanisms:
        if row.use in _BACK:
            name = f"{algorithm.name} {row.use.verb} {row.mode}"
            yield name, partial(_require_round_trip_of, key_of, row)


def require_consistent(key: PrivateKey) -> None:
    """Raise SelfTestFailed unless a new key undoes what it does, in one mode of each use.

    A key that only agrees on secrets has to agree with another one.
    """
    rows = key.algorithm.mechanisms
    taken: dict[Use, bool] = {}
    for row in rows:
        if row.use in _BACK and not taken.get(row.use):
            taken[row.use] = _takes(key, row)
    for use, is_taken in taken.items():
        # No row may take messages of a Generic key whose length AES does not have, to encrypt.
        if not is_taken and use is not ENCRYPT:
            raise SelfTestFailed(f"The key does not {use.verb} in any mode.")
    if not taken and all(row.use is DERIVE for row in rows):
        _require_agreement(key, rows[0])


def _require_agreement(key: PrivateKey, row: Mechanism) -> None:
    other = key.algorithm.generate(None)
    secrets = {row.run(one, _public_of(peer)) for one, peer in ((key, other), (other, key))}
    if len(secrets) != 1:
        raise SelfTestFailed("The key and another one do not agree on a secret.")


def _public_of(key: PrivateKey) -> bytes | None:
    public = key.public()
    return None if public is None else public.data


def _require_round_trip_of(key_of: Callable[[], PrivateKey], row: Mechanism) -> None:
    _require_round_trip(key_of(), row)


def _takes(key: PrivateKey, row: Mechanism) -> bool:
    try:
        _require_round_trip(key, row)
    except InvalidInput:
        return False
    return True


def _require_round_trip(key: PrivateKey, row: Mechanism) -> None:
    if row.use is ENCAPSULATE:
        _require_same_secret(key, row)
        return
    message, made = _first_taken(key, row)
    undo = mechanism_of(key.algorithm, _BACK[row.use], row.mode).run
    if row.use is SIGN:
        if undo(key, message, signature=made) is not True:
            raise SelfTestFailed("A signature of the key is not valid.")
        return
    names = row.use.gives
    parts = dict(zip(names, made if isinstance(made, tuple) else (made,), strict=False))
    if undo(key, parts.pop("encrypted"), **parts) != message:
        raise SelfTestFailed("What the key encrypts decrypts to something else.")


def _require_same_secret(key: PrivateKey, row: Mechanism) -> None:
    made = row.run(key)
    ciphertext, secret = made if isinstance(made, tuple) else (made, None)
    if mechanism_of(key.algorithm, DECAPSULATE, row.mode).run(key, ciphertext) != secret:
        raise SelfTestFailed("The key does not open its own ciphertext.")


def _first_taken(key: PrivateKey, row: Mechanism) -> tuple[bytes, object]:
    *messages, last = _MESSAGES
    for message in messages:
        try:
            return message, row.run(key, message)
        except InvalidInput:
            continue
    return last, row.run(key, last)
