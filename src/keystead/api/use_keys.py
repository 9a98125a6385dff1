"""Keys in use: sign, decrypt, encrypt; and random bytes."""

from collections.abc import Awaitable
from typing import Any

import msgspec

from keystead import algorithms
from keystead.algorithms import Use
from keystead.api.encoding import (
    STEP_BYTES,
    decode_base64,
    decode_long_base64,
    encode_base64,
    encode_long_base64,
)
from keystead.api.route import Call, Reply
from keystead.api.shapes import json_reply
from keystead.model.ids import parse_key_id
from keystead.model.secret import Hidden
from keystead.operations import use_keys as operations
from keystead.operations.manage_keys import find
from keystead.operations.random import random_bytes
from keystead.storage.key_cache import CachedKey


class SignRequest(Hidden, forbid_unknown_fields=True):
    """POST /keys/{id}/sign."""

    mode: str
    message: str


class DecryptRequest(Hidden, forbid_unknown_fields=True):
    """POST /keys/{id}/decrypt."""

    mode: str
    encrypted: str
    iv: str | None = None


class EncryptRequest(Hidden, forbid_unknown_fields=True):
    """POST /keys/{id}/encrypt."""

    mode: str
    message: str
    iv: str | None = None


class RandomRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /random."""

    length: int


class Signature(msgspec.Struct):
    """The answer to sign; base64."""

    signature: str


class Decrypted(Hidden):
    """The answer to decrypt; base64."""

    decrypted: str


class Encrypted(msgspec.Struct):
    """The answer to encrypt; base64."""

    encrypted: str
    iv: str


class Random(Hidden):
    """The answer to random; base64."""

    random: str


async def sign(call: Call[SignRequest]) -> Reply[Signature]:
    """POST /keys/{id}/sign: sign a digest or a message."""
    session, caller = call.session, call.caller
    key = await _found(call)
    wanted = await call.json(SignRequest)
    message = await _bytes(wanted.message, name="message")
    signature = await operations.sign(session, caller, key, wanted.mode, message)
    return Reply(200, b'{"signature":"%b"}' % encode_base64(signature).encode())


async def decrypt(call: Call[DecryptRequest]) -> Reply[Decrypted]:
    """POST /keys/{id}/decrypt: decrypt."""
    session, caller = call.session, call.caller
    key = await _found(call)
    wanted = await call.json(DecryptRequest)
    ciphertext = await _bytes(wanted.encrypted, name="encrypted")
    iv = _iv(Use.DECRYPT, wanted.mode, wanted.iv)
    message = await operations.decrypt(session, caller, key, wanted.mode, ciphertext, iv)
    return Reply(200, b'{"decrypted":"%b"}' % await encode_long_base64(message))


async def encrypt(call: Call[EncryptRequest]) -> Reply[Encrypted]:
    """POST /keys/{id}/encrypt: encrypt."""
    session, caller = call.session, call.caller
    key = await _found(call)
    wanted = await call.json(EncryptRequest)
    message = await _bytes(wanted.message, name="message")
    iv = _iv(Use.ENCRYPT, wanted.mode, wanted.iv)
    ciphertext, iv = await operations.encrypt(session, caller, key, wanted.mode, message, iv)
    encrypted = await encode_long_base64(ciphertext)
    return Reply(200, b'{"encrypted":"%b","iv":"%b"}' % (encrypted, encode_base64(iv).encode()))


async def random(call: Call[RandomRequest]) -> Reply[Random]:
    """POST /random: random bytes."""
    length = (await call.json(RandomRequest)).length
    return json_reply(Random(encode_base64(random_bytes(length))))


def _found(call: Call[Any]) -> Awaitable[CachedKey]:
    """Return the path's key: its 404 comes before the 400 of a bad body."""
    return find(call.session, call.caller, parse_key_id(call.parameters["key_id"]))


async def _bytes(text: str, *, name: str) -> bytes:
    if len(text) <= STEP_BYTES:
        return decode_base64(text, name=name)
    return await decode_long_base64(text, name=name)


def _iv(use: Use, mode: str, text: str | None) -> bytes | None:
    mechanism = algorithms.BY_MODE.get((use, mode))
    if text is None or mechanism is None or not mechanism.takes_iv:
        return None
    return decode_base64(text, name="iv")
