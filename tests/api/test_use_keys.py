"""POST /keys/{id}/sign, verify, decrypt and encrypt: every mechanism of every key type."""

import base64
import hmac
import re
from dataclasses import fields, is_dataclass
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from keystead import algorithms
from keystead.algorithms import DECRYPT, SIGN, USES, Algorithm, Mechanism, Use, field_name
from tests.algorithms.reference_curves import CURVES
from tests.support.core import ADMIN, Answer, Core, Credentials, b64
from tests.support.uses import MESSAGES, OPTIONS
from tests.support.verification import (
    DIGEST_BYTES,
    HASHES,
    aes_cbc,
    aes_cmac,
    encrypted_for,
    key_wrap,
    ml_dsa_holds,
    opened_gcm,
    signature_holds,
    what_to_sign,
)

RSA_BITS = 2048
AES_KEYS = {128: bytes(range(16)), 192: bytes(range(24)), 256: bytes(range(32))}
IV = bytes(range(100, 116))
NOT_REACHED = re.compile(
    "Unknown|does not allow|do not allow|does not take the field|needs the field"
)
KEY_WRAPS = [
    *(("AES_KW", length) for length in (16, 24, 4096)),
    *(("AES_KWP", length) for length in (16, 17, 24, 4095, 4096)),
]


def pairs(use: Use) -> list[tuple[Algorithm, Mechanism]]:
    """Return every key type that has a public half, with its mechanisms for this use."""
    return [
        (row, one)
        for row in algorithms.ALL
        for one in row.mechanisms
        if one.use is use and row.name != "Generic"
    ]


EVERY = {(one.use, one.mode): one for row in algorithms.ALL for one in row.mechanisms}.values()


def names_of(row: Algorithm) -> set[str]:
    return {mechanism.name for mechanism in row.mechanisms}


def pair_name(value: object) -> str:
    return str(getattr(value, "name", value))


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    """A key of each type that may do all its type can, named as its type."""
    for row in algorithms.ALL:
        if row.name == "Generic":
            continue
        names = [mechanism.name for mechanism in row.mechanisms]
        runner.run(core.generate(row.name, row.name, *names, length=RSA_BITS))
    for bits, key in AES_KEYS.items():
        runner.run(import_generic(core, f"AES-{bits}", key))


async def import_generic(core: Core, key_id: str, key: bytes) -> None:
    wanted = {
        "type": "Generic",
        "mechanisms": sorted(names_of(algorithms.BY_NAME["Generic"])),
        "private": {"data": b64(key)},
    }
    answer = await core.request("PUT", f"/keys/{key_id}", user=ADMIN, json=wanted)
    assert answer.status == 204, answer


@pytest.fixture
def use(core: Core, operator: Credentials):
    async def use(key_id: str, how: str, **wanted: object) -> Answer:
        return await core.request("POST", f"/keys/{key_id}/{how}", user=operator, json=wanted)

    return use


async def show(core: Core, key_id: str) -> dict:
    return (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()


# --- every mechanism -----------------------------------------------------------------------------


def in_json(value: object) -> object:
    """Return the value of an option as a request has it."""
    if isinstance(value, bytes):
        return b64(value)
    if not is_dataclass(value):
        return value
    members = {one.name: getattr(value, one.name) for one in fields(value)}
    return {field_name(name): in_json(one) for name, one in members.items() if one is not None}


@pytest.mark.parametrize(
    ("row", "mechanism"),
    [(row, one) for row in algorithms.ALL for one in row.mechanisms],
    ids=pair_name,
)
async def test_every_mechanism_is_reached_by_its_mode(
    use, row: Algorithm, mechanism: Mechanism
) -> None:
    key_id = "AES-128" if row.name == "Generic" else row.name
    taken = (*mechanism.needs, *mechanism.options)
    options = {field_name(one.name): in_json(OPTIONS[one.name]) for one in taken}
    field = mechanism.use.takes
    for message in MESSAGES:
        body = options if field is None else {field: b64(message), **options}
        answer = await use(key_id, mechanism.use.verb, mode=mechanism.mode, **body)
        if answer.status != 200:
            assert answer.status == 400, answer
            assert not NOT_REACHED.search(answer.message)


# --- sign ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "mechanism"), pairs(SIGN), ids=pair_name)
async def test_a_signature_is_verified_by_other_code(
    core: Core, use, row: Algorithm, mechanism: Mechanism
) -> None:
    shown = await show(core, row.name)
    message = what_to_sign(row.name, mechanism.mode)
    answer = await use(row.name, "sign", mode=mechanism.mode, message=b64(message))
    assert answer.status == 200, answer
    assert set(answer.json()) == {"signature"}
    signature = base64.b64decode(answer.json()["signature"], validate=True)
    assert signature_holds(shown, mechanism.mode, message, signature)
    altered = bytes([signature[0], *signature[1:-1], signature[-1] ^ 1])
    assert not signature_holds(shown, mechanism.mode, message, altered)
    assert (await show(core, row.name))["operations"] == shown["operations"] + 1


@pytest.mark.parametrize(
    ("row", "mode"),
    [
        (row, mechanism.mode)
        for row, mechanism in product(algorithms.ALL, EVERY)
        if mechanism.use is SIGN and mechanism.name not in names_of(row)
    ],
    ids=pair_name,
)
async def test_a_mode_of_another_type_is_400(use, row: Algorithm, mode: str) -> None:
    key_id = "AES-128" if row.name == "Generic" else row.name
    answer = await use(key_id, "sign", mode=mode, message=b64(bytes(32)))
    assert answer.status == 400
    assert answer.message


@pytest.mark.parametrize("key_type", DIGEST_BYTES)
@pytest.mark.parametrize("length", [0, 1, 20, 28, 31, 32, 33, 47, 48, 49, 63, 64, 65, 66, 1000])
async def test_ecdsa_takes_exactly_the_digest_of_its_curve(use, key_type: str, length: int) -> None:
    answer = await use(key_type, "sign", mode="ECDSA", message=b64(bytes(length)))
    assert answer.status == (200 if length == DIGEST_BYTES[key_type] else 400)


@pytest.mark.parametrize("name", HASHES)
async def test_pss_takes_exactly_the_digest_of_its_hash(use, name: str) -> None:
    size = HASHES[name].digest_size
    for length in (size - 1, size, size + 1):
        answer = await use("RSA", "sign", mode=f"PSS_{name}", message=b64(bytes(length)))
        assert answer.status == (200 if length == size else 400)


async def test_pkcs1_signs_what_fits_into_the_key(use) -> None:
    longest = RSA_BITS // 8 - 11
    for length, status in [(1, 200), (longest, 200), (longest + 1, 400)]:
        answer = await use("RSA", "sign", mode="PKCS1", message=b64(bytes(length)))
        assert answer.status == status


@pytest.mark.parametrize(
    ("key_type", "mode", "size"),
    [
        ("Curve25519", "EdDSA", 64),
        ("Ed448", "EdDSA", 114),
        ("EC_P256K1", "BIP340", 64),
        ("ML_DSA_65", "ML_DSA", 3309),
    ],
)
@pytest.mark.parametrize("length", [1, 31, 32, 100_000])
async def test_a_message_has_any_length(
    core: Core, use, key_type: str, mode: str, size: int, length: int
) -> None:
    message = bytes(length)
    answer = await use(key_type, "sign", mode=mode, message=b64(message))
    assert answer.status == 200
    signature = base64.b64decode(answer.json()["signature"])
    assert len(signature) == size
    assert signature_holds(await show(core, key_type), mode, message, signature)


@pytest.mark.parametrize("context", [b"", b"a context", bytes(255)])
async def test_ml_dsa_signs_in_a_context(core: Core, use, context: bytes) -> None:
    wanted = {"mode": "ML_DSA", "message": b64(b"message"), "context": b64(context)}
    signed = await use("ML_DSA_44", "sign", **wanted)
    signature = base64.b64decode(signed.json()["signature"])
    shown = await show(core, "ML_DSA_44")
    assert ml_dsa_holds(shown, "ML_DSA", b"message", signature, context)
    for other, is_valid in ((wanted, True), ({**wanted, "context": b64(b"another")}, False)):
        answer = await use("ML_DSA_44", "verify", **other, signature=b64(signature))
        assert answer.json() == {"valid": is_valid}


@pytest.mark.parametrize("how", ["sign", "verify"])
async def test_a_context_that_does_not_fit_is_400(use, how: str) -> None:
    wanted = {"mode": "ML_DSA", "message": b64(b"message")}
    if how == "verify":
        wanted["signature"] = b64(b"?")
    answer = await use("ML_DSA_44", how, **wanted, context=b64(bytes(256)))
    assert (answer.status, answer.message) == (
        400,
        "The context of ML_DSA has up to 255 bytes, not 256.",
    )
    answer = await use("ML_DSA_44", how, **wanted, context="A")
    assert answer.status == 400
    assert "context" in answer.message


@pytest.mark.parametrize(
    ("key_id", "mode"),
    [
        ("ML_DSA_44", "ML_DSA_MU"),
        ("Ed448", "EdDSA"),
        ("RSA", "PKCS1"),
        ("EC_P256", "ECDSA"),
        ("EC_P256K1", "BIP340"),
        ("AES-256", "HMAC_SHA256"),
        ("AES-256", "AES_CMAC"),
    ],
)
async def test_only_ml_dsa_takes_a_context(core: Core, use, key_id: str, mode: str) -> None:
    wanted = {"mode": mode, "message": b64(bytes(64)), "context": b64(b"context")}
    before = (await show(core, key_id))["operations"]
    for how, more in (("sign", {}), ("verify", {"signature": b64(b"?")})):
        answer = await use(key_id, how, **wanted, **more)
        assert answer.status == 400
        assert answer.message == f"{mode} does not take the field context to {how}."
    assert (await show(core, key_id))["operations"] == before


@pytest.mark.parametrize("length", [0, 63, 65])
async def test_a_mu_has_64_bytes(use, length: int) -> None:
    answer = await use("ML_DSA_87", "sign", mode="ML_DSA_MU", message=b64(bytes(length)))
    assert (answer.status, answer.message) == (
        400,
        f"ML_DSA_MU signs a mu of 64 bytes, not {length}.",
    )


async def test_ecdsa_nonces_are_never_used_twice(use) -> None:
    wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
    signatures = [(await use("EC_P256", "sign", **wanted)).json()["signature"] for _ in range(20)]
    assert len(set(signatures)) == 20


# --- decrypt -------------------------------------------------------------------------------------

RSA_DECRYPTION = [mechanism.mode for row, mechanism in pairs(DECRYPT) if row.name == "RSA"]


@pytest.mark.parametrize("mode", RSA_DECRYPTION)
async def test_what_other_code_encrypted_is_decrypted(core: Core, use, mode: str) -> None:
    shown = await show(core, "RSA")
    message = b"a secret message"
    encrypted = encrypted_for(shown["public"], mode, message)
    answer = await use("RSA", "decrypt", mode=mode, encrypted=b64(encrypted))
    assert answer.status == 200, answer
    decrypted = base64.b64decode(answer.json()["decrypted"], validate=True)
    assert decrypted == (message.rjust(RSA_BITS // 8, b"\0") if mode == "RAW" else message)
    assert (await show(core, "RSA"))["operations"] == shown["operations"] + 1


@pytest.mark.parametrize("mode", RSA_DECRYPTION)
@pytest.mark.parametrize("length", [0, 1, RSA_BITS // 8 - 1, RSA_BITS // 8, RSA_BITS // 8 + 1])
async def test_an_altered_rsa_ciphertext_is_never_a_500(use, mode: str, length: int) -> None:
    answer = await use("RSA", "decrypt", mode=mode, encrypted=b64(b"\x01" * length))
    # A raw operation has no wrong input below the modulus; PKCS#1 v1.5 rejects implicitly.
    assert answer.status in ({200, 400} if mode in {"RAW", "PKCS1"} else {400})


async def test_oaep_failures_do_not_tell_their_cause(core: Core, use) -> None:
    public = (await show(core, "RSA"))["public"]
    of_another_hash = encrypted_for(public, "OAEP_SHA1", b"message")
    answers = [
        await use("RSA", "decrypt", mode="OAEP_SHA256", encrypted=b64(ciphertext))
        for ciphertext in (of_another_hash, b"\x01" * (RSA_BITS // 8), bytes(RSA_BITS // 8))
    ]
    assert {(answer.status, answer.body) for answer in answers} == {
        (400, b'{"message":"Decryption failure"}')
    }


async def test_an_ec_key_does_not_decrypt(use) -> None:
    for key_type in ("EC_P256", "Curve25519", "BrainpoolP512"):
        for mode in ("PKCS1", "AES_CBC", "RAW"):
            answer = await use(key_type, "decrypt", mode=mode, encrypted=b64(bytes(32)))
            assert answer.status == 400


# --- AES -----------------------------------------------------------------------------------------


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


# --- HMAC, and verify ----------------------------------------------------------------------------


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


async def test_verify_tells_the_hmac_of_a_message_from_everything_else(core: Core, use) -> None:
    before = (await show(core, "AES-256"))["operations"]
    wanted = {"mode": "HMAC_SHA256", "message": b64(b"message")}
    right = hmac.digest(AES_KEYS[256], b"message", "sha256")
    answer = await use("AES-256", "verify", **wanted, signature=b64(right))
    assert (answer.status, answer.json()) == (200, {"valid": True})
    wrong = [right[:-1], right + b"?", b"", bytes([right[0] ^ 1, *right[1:]])]
    for signature in wrong:
        answer = await use("AES-256", "verify", **wanted, signature=b64(signature))
        assert (answer.status, answer.json()) == (200, {"valid": False})
    assert (await show(core, "AES-256"))["operations"] == before + 1 + len(wrong)


async def test_verify_needs_a_signature(use) -> None:
    answer = await use("AES-256", "verify", mode="HMAC_SHA256", message=b64(b"message"))
    assert (answer.status, answer.message) == (
        400,
        "HMAC_SHA256 needs the field signature to verify.",
    )


@pytest.mark.parametrize(("row", "mechanism"), pairs(SIGN), ids=pair_name)
async def test_verify_tells_a_signature_of_the_key_from_everything_else(
    core: Core, use, row: Algorithm, mechanism: Mechanism
) -> None:
    message = b64(what_to_sign(row.name, mechanism.mode))
    wanted = {"mode": mechanism.mode, "message": message}
    signature = base64.b64decode((await use(row.name, "sign", **wanted)).json()["signature"])
    before = (await show(core, row.name))["operations"]
    answer = await use(row.name, "verify", **wanted, signature=b64(signature))
    assert (answer.status, answer.json()) == (200, {"valid": True})
    altered = bytes([*signature[:-1], signature[-1] ^ 1])
    wrong = [altered, signature[:-1], signature + b"?", b"", b"\x30", bytes(64), b"\xff" * 256]
    for other in wrong:
        answer = await use(row.name, "verify", **wanted, signature=b64(other))
        assert (answer.status, answer.json()) == (200, {"valid": False})
    assert (await show(core, row.name))["operations"] == before + 1 + len(wrong)


@pytest.mark.parametrize(("row", "mechanism"), pairs(SIGN), ids=pair_name)
async def test_verify_refuses_the_messages_that_sign_refuses(
    use, row: Algorithm, mechanism: Mechanism
) -> None:
    wanted = {"mode": mechanism.mode, "message": b64(bytes(RSA_BITS // 8))}
    signed = await use(row.name, "sign", **wanted)
    verified = await use(row.name, "verify", **wanted, signature=b64(b"?"))
    assert verified.status == signed.status
    if signed.status == 400:
        assert verified.message == signed.message


async def test_a_signature_that_is_not_base64_is_400(use) -> None:
    wanted = {"mode": "EdDSA", "message": b64(b"message"), "signature": "A"}
    answer = await use("Curve25519", "verify", **wanted)
    assert answer.status == 400
    assert "signature" in answer.message


async def test_the_pkcs1_signature_of_an_empty_message_is_valid(use) -> None:
    wanted = {"mode": "PKCS1", "message": ""}
    signature = (await use("RSA", "sign", **wanted)).json()["signature"]
    answer = await use("RSA", "verify", **wanted, signature=signature)
    assert answer.json() == {"valid": True}


async def test_a_signature_of_secp256k1_with_a_high_s_is_valid(use) -> None:
    order = CURVES["EC_P256K1"].n
    wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
    signed = await use("EC_P256K1", "sign", **wanted)
    r, s = decode_dss_signature(base64.b64decode(signed.json()["signature"]))
    assert s <= order // 2
    for other, is_valid in ((order - s, True), (order + s, False)):
        signature = b64(encode_dss_signature(r, other))
        answer = await use("EC_P256K1", "verify", **wanted, signature=signature)
        assert answer.json() == {"valid": is_valid}


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


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sign", "decrypt", "encrypt"])
@pytest.mark.parametrize(
    "text", ["AA==", "AA=", "A", "=", "AAAA=", "AAA\u00e9", "AA-_", " AAAA", "AAAA====", "A A="]
)
async def test_base64_is_read_strictly(use, how: str, text: str) -> None:
    mode, field = {
        "sign": ("EdDSA", "message"),
        "decrypt": ("AES_CBC", "encrypted"),
        "encrypt": ("AES_CBC", "message"),
    }[how]
    key_id = "Curve25519" if how == "sign" else "AES-256"
    more = {"iv": b64(IV)} if how == "decrypt" else {}
    answer = await use(key_id, how, mode=mode, **{field: text}, **more)
    assert answer.status == (200 if (how, text) == ("sign", "AA==") else 400)


async def test_line_breaks_inside_base64_are_accepted(core: Core, use) -> None:
    message = bytes(range(200))
    for break_ in ("\n", "\r\n"):
        text = break_.join([b64(message)[:76], b64(message)[76:152], b64(message)[152:], ""])
        answer = await use("Curve25519", "sign", mode="EdDSA", message=text)
        assert answer.status == 200
        signature = base64.b64decode(answer.json()["signature"])
        assert signature_holds(await show(core, "Curve25519"), "EdDSA", message, signature)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("sign", {"mode": "ECDSA"}),
        ("sign", {"message": "AA=="}),
        ("sign", {"mode": "ECDSA", "message": 1}),
        ("sign", {"mode": ["ECDSA"], "message": "AA=="}),
        ("sign", {"mode": "ecdsa", "message": "AA=="}),
        ("sign", {"mode": "RAW", "message": "AA=="}),
        ("sign", {"mode": "AES_CBC", "message": "AA=="}),
        ("sign", {"mode": "ECDSA", "message": "AA==", "iv": "AA=="}),
        ("decrypt", {"mode": "RAW", "message": "AA=="}),
        ("decrypt", {"mode": "EdDSA", "encrypted": "AA=="}),
        ("decrypt", {"mode": "AES_CBC", "encrypted": "AA==", "iv": 1}),
        ("encrypt", {"mode": "PKCS1", "message": "AA=="}),
        ("encrypt", {"mode": "AES_CBC", "encrypted": "AA=="}),
    ],
)
async def test_a_request_of_another_shape_is_400(use, how: str, wanted: dict) -> None:
    answer = await use("EC_P256", how, **wanted)
    assert answer.status == 400
    assert answer.message


@pytest.mark.parametrize("how", [use.verb for use in USES])
async def test_a_key_that_is_not_there_is_404(use, how: str) -> None:
    answer = await use("nothing", how)
    assert answer.status == 404


@pytest.mark.parametrize("row", algorithms.ALL, ids=pair_name)
async def test_a_key_does_only_what_its_mechanisms_allow(core: Core, use, row: Algorithm) -> None:
    first = row.mechanisms[0]
    others = [one for one in row.mechanisms if one.name != first.name]
    key_id = f"only-{row.name}"
    await core.generate(key_id, row.name, first.name, length=1024 if row.name == "RSA" else 256)
    for mechanism in others:
        how = mechanism.use.verb
        wanted = {
            field_name(option.name): 16 if option.kind is int else b64(bytes(16))
            for option in mechanism.needs
        }
        if mechanism.use.takes is not None:
            wanted[mechanism.use.takes] = b64(bytes(32))
        if mechanism.use.mode is None:
            wanted["mode"] = mechanism.mode
        answer = await use(key_id, how, **wanted)
        assert answer.status == 400
        assert "mechanisms do not allow" in answer.message
    assert (await show(core, key_id))["operations"] == 0


async def test_messages_may_be_far_larger_than_other_bodies(core: Core, use) -> None:
    message = bytes(3 * 2**20)
    answer = await use("Curve25519", "sign", mode="EdDSA", message=b64(message))
    assert answer.status == 200
    signature = base64.b64decode(answer.json()["signature"])
    assert signature_holds(await show(core, "Curve25519"), "EdDSA", message, signature)
    answer = await use("AES-256", "encrypt", mode="AES_CBC", message=b64(message), iv=b64(IV))
    assert answer.status == 200
    encrypted = answer.json()["encrypted"]
    answer = await use("AES-256", "decrypt", mode="AES_CBC", encrypted=encrypted, iv=b64(IV))
    assert answer.json() == {"decrypted": b64(message)}


async def test_an_administrator_uses_no_keys(core: Core) -> None:
    for how in ("sign", "decrypt", "encrypt"):
        answer = await core.request("POST", f"/keys/EC_P256/{how}", user=ADMIN, json={})
        assert answer.status == 403
