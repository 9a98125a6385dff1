"""Generic keys in use: AES-CBC, GCM, key wrap, CMAC and HMAC, checked with other code."""

import base64
import hmac

import pytest

from tests.support.core import Core, b64
from tests.support.every_key import AES_KEYS, import_generic, show
from tests.support.verification import (
    aes_cbc,
    aes_cmac,
    encrypted_for,
    key_wrap,
    opened_gcm,
)

pytestmark = pytest.mark.usefixtures("every_key")

IV = bytes(range(100, 116))
KEY_WRAPS = [
    *(("AES_KW", length) for length in (16, 24, 4096)),
    *(("AES_KWP", length) for length in (16, 17, 24, 4095, 4096)),
]


@pytest.mark.parametrize("bits", AES_KEYS)
async def test_aes_cbc_is_what_other_code_makes_of_it(core: Core, use, bits: int) -> None:
    message = bytes(range(48))
    key_id = f"AES-{bits}"
    before = (await show(core, key_id))["operations"]
    answer = await use(key_id, "encrypt", mode="AES_CBC", message=b64(message), iv=b64(IV))
    assert answer.status == 200
    encrypted = aes_cbc(AES_KEYS[bits], IV).encrypt(message)
    assert answer.json() == {"encrypted": b64(encrypted), "iv": b64(IV)}
    answer = await use(key_id, "decrypt", mode="AES_CBC", encrypted=b64(encrypted), iv=b64(IV))
    assert answer.json() == {"decrypted": b64(message)}
    assert (await show(core, key_id))["operations"] == before + 2


async def test_without_an_iv_a_new_one_is_made_each_time(use) -> None:
    message = bytes(32)
    seen = set()
    for more in ({}, {"iv": None}):
        answer = await use("AES-256", "encrypt", mode="AES_CBC", message=b64(message), **more)
        made = answer.json()
        iv = base64.b64decode(made["iv"])
        assert len(iv) == 16
        decrypted = aes_cbc(AES_KEYS[256], iv).decrypt(base64.b64decode(made["encrypted"]))
        assert decrypted == message
        seen.add(iv)
    assert len(seen) == 2


@pytest.mark.parametrize("length", [1, 15, 17, 31])
async def test_aes_cbc_takes_whole_blocks_only(use, length: int) -> None:
    data, iv = b64(bytes(length)), b64(IV)
    encrypted = await use("AES-256", "encrypt", mode="AES_CBC", message=data, iv=iv)
    decrypted = await use("AES-256", "decrypt", mode="AES_CBC", encrypted=data, iv=iv)
    assert (encrypted.status, decrypted.status) == (400, 400)
    assert "multiple of 16" in encrypted.message


@pytest.mark.parametrize("iv", [b"", bytes(15), bytes(17)])
async def test_an_iv_has_16_bytes(use, iv: bytes) -> None:
    data = b64(bytes(16))
    encrypted = await use("AES-256", "encrypt", mode="AES_CBC", message=data, iv=b64(iv))
    decrypted = await use("AES-256", "decrypt", mode="AES_CBC", encrypted=data, iv=b64(iv))
    assert (encrypted.status, decrypted.status) == (400, 400)


async def test_decryption_needs_the_iv(use) -> None:
    answer = await use("AES-256", "decrypt", mode="AES_CBC", encrypted=b64(bytes(16)))
    assert answer.status == 400
    assert "needs the field iv" in answer.message


async def test_where_no_iv_belongs_it_is_ignored_as_clients_send_any(core: Core, use) -> None:
    encrypted = encrypted_for((await show(core, "RSA"))["public"], "PKCS1", b"secret")
    answer = await use("RSA", "decrypt", mode="PKCS1", encrypted=b64(encrypted), iv="no base64")
    assert answer.json() == {"decrypted": b64(b"secret")}


@pytest.mark.parametrize("bits", AES_KEYS)
@pytest.mark.parametrize("aad", [None, b"", b"additional data", bytes(100_000)])
async def test_aes_gcm_is_what_other_code_makes_of_it(core: Core, use, bits: int, aad) -> None:
    key_id, message = f"AES-{bits}", b"a message of no whole block"
    more = {} if aad is None else {"aad": b64(aad)}
    before = (await show(core, key_id))["operations"]
    answer = await use(key_id, "encrypt", mode="AES_GCM", message=b64(message), **more)
    assert answer.status == 200, answer
    assert list(answer.json()) == ["encrypted", "iv", "tag"]
    encrypted, iv, tag = (base64.b64decode(part) for part in answer.json().values())
    assert (len(iv), len(tag)) == (12, 16)
    assert opened_gcm(AES_KEYS[bits], iv, encrypted, tag, aad or b"") == message
    answer = await use(key_id, "decrypt", mode="AES_GCM", **answer.json(), **more)
    assert answer.json() == {"decrypted": b64(message)}
    assert (await show(core, key_id))["operations"] == before + 2


async def test_every_gcm_iv_is_made_by_the_hsm_and_is_another(use) -> None:
    wanted = {"mode": "AES_GCM", "message": ""}
    ivs = {(await use("AES-128", "encrypt", **wanted)).json()["iv"] for _ in range(100)}
    assert len(ivs) == 100
    answer = await use("AES-128", "encrypt", **wanted, iv=b64(bytes(12)))
    assert answer.status == 400
    assert answer.message == "AES_GCM does not take the field iv to encrypt."


async def test_whatever_is_altered_gcm_does_not_decrypt_and_says_the_same(use) -> None:
    sealed = (await use("AES-128", "encrypt", mode="AES_GCM", message=b64(b"?" * 20))).json()
    for name, value in [*sealed.items(), ("aad", b64(b"\0"))]:
        data = bytearray(base64.b64decode(value))
        data[0] ^= 1
        altered = {**sealed, name: b64(bytes(data))}
        answer = await use("AES-128", "decrypt", mode="AES_GCM", **altered)
        assert (answer.status, answer.message) == (400, "Decryption failure")


@pytest.mark.parametrize("name", ["iv", "tag"])
async def test_gcm_needs_a_whole_iv_and_a_whole_tag_to_decrypt(use, name: str) -> None:
    sealed = (await use("AES-128", "encrypt", mode="AES_GCM", message="")).json()
    for short in (b"", base64.b64decode(sealed[name])[:-1], base64.b64decode(sealed[name]) + b"?"):
        wanted = {**sealed, name: b64(short)}
        answer = await use("AES-128", "decrypt", mode="AES_GCM", **wanted)
        assert answer.status == 400
        assert f"The {name} of AES_GCM has" in answer.message
    del sealed[name]
    answer = await use("AES-128", "decrypt", mode="AES_GCM", **sealed)
    assert answer.message == f"AES_GCM needs the field {name} to decrypt."


@pytest.mark.parametrize("bits", AES_KEYS)
@pytest.mark.parametrize(("mode", "length"), KEY_WRAPS)
async def test_key_wrap_is_what_other_code_makes_of_it(
    core: Core, use, bits: int, mode: str, length: int
) -> None:
    key_id, message = f"AES-{bits}", bytes(range(256)) * 16
    message = message[:length]
    before = (await show(core, key_id))["operations"]
    answer = await use(key_id, "encrypt", mode=mode, message=b64(message))
    assert answer.status == 200, answer
    wrapped = key_wrap(AES_KEYS[bits], mode).seal(message)
    assert answer.json() == {"encrypted": b64(wrapped)}
    answer = await use(key_id, "decrypt", mode=mode, encrypted=b64(wrapped))
    assert answer.json() == {"decrypted": b64(message)}
    assert (await show(core, key_id))["operations"] == before + 2


@pytest.mark.parametrize("length", [1, 8, 15])
async def test_the_shortest_keys_that_others_wrap_with_padding_are_unwrapped(
    use, length: int
) -> None:
    wrapped = key_wrap(AES_KEYS[256], "AES_KWP").seal(bytes(length))
    answer = await use("AES-256", "decrypt", mode="AES_KWP", encrypted=b64(wrapped))
    assert answer.json() == {"decrypted": b64(bytes(length))}


@pytest.mark.parametrize(
    ("how", "mode", "length"),
    [
        *(("encrypt", "AES_KW", length) for length in (0, 8, 15, 17, 4095, 4097, 4104)),
        *(("encrypt", "AES_KWP", length) for length in (0, 15, 4097)),
        *(("decrypt", "AES_KW", length) for length in (0, 8, 16, 23, 25, 4112)),
        *(("decrypt", "AES_KWP", length) for length in (0, 8, 15, 17, 4112)),
    ],
)
async def test_key_wrap_says_which_lengths_it_takes(use, how: str, mode: str, length: int) -> None:
    field = {"encrypt": "message", "decrypt": "encrypted"}[how]
    answer = await use("AES-256", how, mode=mode, **{field: b64(bytes(length))})
    assert answer.status == 400
    assert answer.message.startswith(f"{mode} takes ")
    assert str(length) in answer.message


@pytest.mark.parametrize("mode", ["AES_KW", "AES_KWP"])
async def test_whatever_is_altered_key_wrap_does_not_open_and_says_the_same(use, mode: str) -> None:
    wrapped = key_wrap(AES_KEYS[256], mode).seal(bytes(24))
    others = [key_wrap(AES_KEYS[256], other).seal(bytes(24)) for other in ("AES_KW", "AES_KWP")]
    others.remove(wrapped)
    for place in range(len(wrapped)):
        changed = bytes([wrapped[place] ^ 1])
        others.append(wrapped[:place] + changed + wrapped[place + 1 :])
    for altered in others:
        answer = await use("AES-256", "decrypt", mode=mode, encrypted=b64(altered))
        assert (answer.status, answer.message) == (400, "Decryption failure")


@pytest.mark.parametrize("field", ["iv", "aad"])
@pytest.mark.parametrize("mode", ["AES_KW", "AES_KWP"])
async def test_key_wrap_takes_nothing_beside_the_message(use, mode: str, field: str) -> None:
    more = {field: b64(bytes(16))}
    answer = await use("AES-256", "encrypt", mode=mode, message=b64(bytes(16)), **more)
    assert answer.message == f"{mode} does not take the field {field} to encrypt."


async def test_a_field_of_another_mode_is_400(use) -> None:
    message = b64(bytes(16))
    answer = await use("AES-128", "encrypt", mode="AES_CBC", message=message, aad=message)
    assert answer.status == 400
    assert answer.message == "AES_CBC does not take the field aad to encrypt."


@pytest.mark.parametrize("bits", [256, 384, 512])
@pytest.mark.parametrize("length", [0, 1, 100_000])
async def test_an_hmac_is_what_other_code_makes_of_it(use, bits: int, length: int) -> None:
    message = bytes(length)
    mode = f"HMAC_SHA{bits}"
    answer = await use("AES-256", "sign", mode=mode, message=b64(message))
    expected = hmac.digest(AES_KEYS[256], message, f"sha{bits}")
    assert answer.json() == {"signature": b64(expected)}


@pytest.mark.parametrize("bits", AES_KEYS)
@pytest.mark.parametrize("length", [0, 1, 16, 100_000])
async def test_a_cmac_is_what_other_code_makes_of_it(use, bits: int, length: int) -> None:
    message, key_id = bytes(length), f"AES-{bits}"
    wanted = {"mode": "AES_CMAC", "message": b64(message)}
    tag = aes_cmac(AES_KEYS[bits], message)
    assert (await use(key_id, "sign", **wanted)).json() == {"signature": b64(tag)}
    for signature, is_valid in ((tag, True), (tag[:-1], False), (tag + b"?", False), (b"", False)):
        answer = await use(key_id, "verify", **wanted, signature=b64(signature))
        assert (answer.status, answer.json()) == (200, {"valid": is_valid})


async def test_a_generic_key_of_another_length_is_no_aes_key(core: Core, use) -> None:
    await import_generic(core, "long", bytes(33))
    message = b64(bytes(16))
    answers = [
        await use("long", "encrypt", mode=mode, message=message)
        for mode in ("AES_CBC", "AES_GCM", "AES_KW", "AES_KWP")
    ]
    answers.append(await use("long", "sign", mode="AES_CMAC", message=message))
    for answer in answers:
        assert answer.status == 400
        assert "264" in answer.message
