"""POST /keys/{id}/verify: every mode that signs."""

import base64
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from keystead.algorithms import SIGN, Algorithm, Mechanism
from tests.algorithms.reference_curves import CURVES
from tests.support.core import Core, b64
from tests.support.every_key import AES_KEYS, RSA_BITS, name_of, pairs, show
from tests.support.verification import what_to_sign

pytestmark = pytest.mark.usefixtures("every_key")


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


@pytest.mark.parametrize(("row", "mechanism"), pairs(SIGN), ids=name_of)
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


@pytest.mark.parametrize(("row", "mechanism"), pairs(SIGN), ids=name_of)
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
