"""POST /keys/{id}/sign with many messages: all of them or none, in their order."""

import asyncio
import base64
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead import algorithms
from keystead.algorithms import SIGN, Algorithm, Mechanism
from keystead.operations.batches import MAX_MESSAGES, PART_MESSAGES
from tests.support.core import ADMIN, Answer, Core, Credentials, b64, start_core
from tests.support.verification import signature_holds, what_to_sign

RSA_BITS = 2048
SIGNS = [
    (row, one)
    for row in algorithms.ALL
    for one in row.mechanisms
    if one.use is SIGN and row.name != "Generic"
]


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    for row in {row.name: row for row, _ in SIGNS}.values():
        names = [mechanism.name for mechanism in row.mechanisms]
        runner.run(core.generate(row.name, row.name, *names, length=RSA_BITS))
    runner.run(core.generate("mac", "Generic", "HMAC_SHA256", length=256))


@pytest.fixture
def sign(core: Core, operator: Credentials):
    async def sign(key_id: str, messages: object, mode: str = "ECDSA", **more: object) -> Answer:
        wanted = {"mode": mode, "messages": messages, **more}
        return await core.request("POST", f"/keys/{key_id}/sign", user=operator, json=wanted)

    return sign


async def show(core: Core, key_id: str) -> dict:
    return (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()


def digests(number: int) -> list[bytes]:
    return [os.urandom(32) for _ in range(number)]


def texts(messages: list[bytes]) -> list[str]:
    return [b64(message) for message in messages]


def signatures(answer: Answer) -> list[bytes]:
    assert answer.status == 200, answer
    assert set(answer.json()) == {"signatures"}
    return [base64.b64decode(text, validate=True) for text in answer.json()["signatures"]]


@pytest.mark.parametrize(
    ("row", "mechanism"), SIGNS, ids=[f"{row.name} {one.mode}" for row, one in SIGNS]
)
async def test_whatever_signs_signs_batches(
    core: Core, sign, row: Algorithm, mechanism: Mechanism
) -> None:
    shown = await show(core, row.name)
    message = what_to_sign(row.name, mechanism.mode)
    made = signatures(await sign(row.name, texts([message] * 3), mechanism.mode))
    assert len(made) == 3
    for signature in made:
        assert signature_holds(shown, mechanism.mode, message, signature)
    assert (await show(core, row.name))["operations"] == shown["operations"] + 3


async def test_a_mac_of_each_message(core: Core, operator: Credentials, sign) -> None:
    messages = [b"", b"a", bytes(100_000)]
    made = signatures(await sign("mac", texts(messages), "HMAC_SHA256"))
    for message, mac in zip(messages, made, strict=True):
        alone = {"mode": "HMAC_SHA256", "message": b64(message)}
        answer = await core.request("POST", "/keys/mac/sign", user=operator, json=alone)
        assert base64.b64decode(answer.json()["signature"]) == mac


@pytest.mark.parametrize("number", [1, PART_MESSAGES, PART_MESSAGES + 1, MAX_MESSAGES])
async def test_the_order_is_that_of_the_messages(core: Core, sign, number: int) -> None:
    pem = await core.request("GET", "/keys/EC_P256/public.pem", user=ADMIN)
    public = load_pem_public_key(pem.body)
    messages = digests(number)
    made = signatures(await sign("EC_P256", texts(messages)))
    for message, signature in zip(messages, made, strict=True):
        public.verify(signature, message, ec.ECDSA(Prehashed(hashes.SHA256())))


async def test_messages_may_be_long(core: Core, sign) -> None:
    shown = await show(core, "Curve25519")
    messages = [os.urandom(size) for size in (300_000, 0, 10, 70_000, 600, 1_000_000)]
    made = signatures(await sign("Curve25519", texts(messages), "EdDSA"))
    for message, signature in zip(messages, made, strict=True):
        assert signature_holds(shown, "EdDSA", message, signature)


@pytest.mark.parametrize("place", [0, 1, PART_MESSAGES, 299])
@pytest.mark.parametrize("bad", [b64(bytes(31)), "?", "A" * 100_001], ids=["short", "no", "long"])
async def test_one_bad_message_is_named_and_nothing_is_done(
    core: Core, sign, place: int, bad: str
) -> None:
    before = await show(core, "EC_P256")
    wanted = texts(digests(300))
    wanted[place] = bad
    answer = await sign("EC_P256", wanted)
    assert answer.status == 400
    assert answer.message.startswith(f"messages[{place}]")
    assert await show(core, "EC_P256") == before


@pytest.mark.parametrize(
    "wanted",
    [
        {"messages": []},
        {"messages": ["QUJD"] * (MAX_MESSAGES + 1)},
        {"messages": None},
        {"messages": "QUJD"},
        {"messages": [1]},
        {"messages": {"0": "QUJD"}},
        {"messages": ["QUJD"], "message": "QUJD"},
        {"message": None},
        {},
    ],
    ids=str,
)
async def test_what_is_no_batch_is_400(core: Core, operator: Credentials, wanted: dict) -> None:
    json = {"mode": "EdDSA", **wanted}
    answer = await core.request("POST", "/keys/Curve25519/sign", user=operator, json=json)
    assert answer.status == 400
    assert answer.message


@pytest.mark.parametrize("how", ["verify", "decrypt", "encrypt"])
async def test_other_uses_take_no_batch(core: Core, operator: Credentials, how: str) -> None:
    json = {"mode": "PKCS1", "messages": ["QUJD"]}
    answer = await core.request("POST", f"/keys/RSA/{how}", user=operator, json=json)
    assert answer.status == 400


async def test_a_mode_that_the_key_does_not_have_is_refused(core: Core, sign) -> None:
    before = await show(core, "EC_P256")
    assert (await sign("EC_P256", texts(digests(2)), "EdDSA")).status == 400
    assert (await sign("missing", texts(digests(2)))).status == 404
    assert await show(core, "EC_P256") == before


async def test_tags_hold_for_batches(core: Core, sign) -> None:
    await core.generate("tagged", "EC_P256", "ECDSA_Signature", restrictions={"tags": ["others"]})
    assert (await sign("tagged", texts(digests(2)))).status == 403


async def test_a_key_that_is_deleted_meanwhile_gives_nothing(core: Core, sign) -> None:
    await core.generate("fleeting", "RSA", "RSA_Signature_PKCS1", length=RSA_BITS)
    batch = asyncio.ensure_future(sign("fleeting", texts(digests(200)), "PKCS1"))
    for _ in range(50):  # It has begun.
        await asyncio.sleep(0)
    assert (await core.request("DELETE", "/keys/fleeting", user=ADMIN)).status == 204
    answer = await batch
    assert answer.status == 404
    assert "signatures" not in answer.json()


async def test_a_lock_ends_a_batch_between_its_parts(monkeypatch) -> None:
    core = await start_core()
    await core.provision()
    operator = await core.add_user("operator", "Operator")
    await core.generate("slow", "RSA", "RSA_Signature_PKCS1", length=RSA_BITS)
    wanted = {"mode": "PKCS1", "messages": texts(digests(MAX_MESSAGES))}
    asked = core.request("POST", "/keys/slow/sign", user=operator, json=wanted)
    batch, session = asyncio.ensure_future(asked), core.hsm.session
    parts, run = [], session.crypto_pool.run

    async def counted(work, **more):
        parts.append(work)
        return await run(work, **more)

    monkeypatch.setattr(session.crypto_pool, "run", counted)
    while not parts:  # noqa: ASYNC110 - the passphrase is verified first
        await asyncio.sleep(0.01)
    await session.end(seconds=0)
    assert (await batch).status == 412
    assert 0 < len(parts) < MAX_MESSAGES
    core.close()


async def test_others_are_served_meanwhile(core: Core, operator: Credentials, sign) -> None:
    batch = asyncio.ensure_future(sign("RSA", texts(digests(100)), "PKCS1"))
    await asyncio.sleep(0)
    alone = {"mode": "ECDSA", "message": b64(bytes(32))}
    answer = await core.request("POST", "/keys/EC_P256/sign", user=operator, json=alone)
    assert answer.status == 200
    assert not batch.done()
    assert (await batch).status == 200


async def test_a_batch_takes_no_more_places_than_its_threads_need(core: Core, sign) -> None:
    batch = asyncio.ensure_future(sign("RSA", texts(digests(100)), "PKCS1"))
    most = 0
    for _ in range(1_000_000):
        if batch.done():
            break
        most = max(most, core.hsm.session.crypto_pool._under_way)  # noqa: SLF001 - what waits
        await asyncio.sleep(0)
    assert (await batch).status == 200
    assert 1 < most <= 2 * core.hsm.session.crypto_pool.threads
