"""POST /keys/{id}/sign and decrypt, and what all uses have in common, for every key type."""

import base64
import re
from itertools import product

import msgspec
import pytest
from msgspec.structs import asdict

from keystead import algorithms
from keystead.algorithms import DECRYPT, SIGN, USES, Algorithm, Mechanism, field_name
from tests.support.core import ADMIN, Core, b64
from tests.support.every_key import RSA_BITS, name_of, names_of, pairs, show
from tests.support.uses import MESSAGES, OPTIONS
from tests.support.verification import (
    DIGEST_BYTES,
    HASHES,
    encrypted_for,
    ml_dsa_holds,
    signature_holds,
    what_to_sign,
)

pytestmark = pytest.mark.usefixtures("every_key")

IV = bytes(range(100, 116))
NOT_REACHED = re.compile(
    "Unknown|does not allow|do not allow|does not take the field|needs the field"
)
EVERY = {(one.use, one.mode): one for row in algorithms.ALL for one in row.mechanisms}.values()


# --- every mechanism -----------------------------------------------------------------------------


def in_json(value: object) -> object:
    """Return the value of an option as a request has it."""
    if isinstance(value, bytes):
        return b64(value)
    if not isinstance(value, msgspec.Struct):
        return value
    members = asdict(value)
    return {field_name(name): in_json(one) for name, one in members.items() if one is not None}


@pytest.mark.parametrize(
    ("row", "mechanism"),
    [(row, one) for row in algorithms.ALL for one in row.mechanisms],
    ids=name_of,
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


@pytest.mark.parametrize(("row", "mechanism"), pairs(SIGN), ids=name_of)
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
    ids=name_of,
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


@pytest.mark.parametrize("row", algorithms.ALL, ids=name_of)
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
