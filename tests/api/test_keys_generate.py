"""POST /keys/generate."""

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead import algorithms
from tests.support.core import ADMIN, Answer, Core, Credentials

KEY_LENGTHS = {"RSA": 1024, "Generic": 128}
PAIRS = [(row, mechanism) for row in algorithms.ALL for mechanism in algorithms.MECHANISMS]


async def generate(core: Core, **wanted: object) -> Answer:
    return await core.request("POST", "/keys/generate", user=ADMIN, json=wanted)


@pytest.mark.parametrize("row", algorithms.ALL, ids=lambda row: row.name)
async def test_every_type_can_be_generated_with_all_its_mechanisms(
    core: Core, row: algorithms.Algorithm
) -> None:
    mechanisms = list(dict.fromkeys(mechanism.name for mechanism in row.mechanisms))
    key_id = f"all-of-{row.name}"
    answer = await generate(
        core,
        id=key_id,
        type=row.name,
        mechanisms=mechanisms,
        length=KEY_LENGTHS.get(row.name, 0),
    )
    assert answer.status == 201
    assert answer.json() == {"id": key_id}
    assert answer.headers["Location"] == f"/api/v1/keys/{key_id}"
    shown = (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()
    assert shown["type"] == row.name
    assert sorted(shown["mechanisms"]) == sorted(mechanisms)
    assert shown["operations"] == 0
    assert shown["restrictions"] == {}


@pytest.mark.parametrize("row", algorithms.ALL, ids=lambda row: row.name)
async def test_no_type_takes_a_mechanism_of_another(core: Core, row: algorithms.Algorithm) -> None:
    own = {mechanism.name for mechanism in row.mechanisms}
    for foreign in sorted(set(algorithms.MECHANISMS) - own):
        answer = await generate(
            core,
            type=row.name,
            mechanisms=[*own, foreign],
            length=KEY_LENGTHS.get(row.name, 0),
        )
        assert answer.status == 400, foreign
        assert answer.message == "Mechanism does not match key type."


async def test_without_an_id_one_of_20_hex_digits_is_made(core: Core) -> None:
    made = []
    for more in ({}, {"id": ""}):
        answer = await generate(core, type="EC_P256", mechanisms=["ECDSA_Signature"], **more)
        assert answer.status == 201
        key_id = answer.json()["id"]
        assert re.fullmatch("[0-9a-f]{20}", key_id)
        assert answer.headers["Location"] == f"/api/v1/keys/{key_id}"
        assert (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).status == 200
        made.append(key_id)
    assert made[0] != made[1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"mechanisms": []}, "Empty set of mechanisms."),
        ({"mechanisms": ["ECDSA"]}, "Unknown key mechanism."),
        ({"type": "EC_P224"}, "Unknown key type."),
        ({"type": "rsa"}, "Unknown key type."),
        ({"id": "-"}, "ID may only contain"),
        ({"id": "a" * 129}, "ID cannot be longer than 128"),
        ({"id": "a~b"}, "ID may only contain"),
        ({"id": "a/b"}, "ID may only contain"),
        ({"label": "x" * 33}, "The label cannot be longer than 32 bytes."),
        ({"label": "ü" * 17}, "The label cannot be longer than 32 bytes."),
        ({"restrictions": {"tags": ["-"]}}, "ID may only contain"),
        ({"restrictions": {"tags": [""]}}, "ID cannot be shorter"),
        ({"restrictions": {"users": []}}, "unknown field `users`"),
        ({"restrictions": []}, "Expected `object`"),
        ({"id": 1}, "Expected `str`"),
        ({"length": "1024"}, "Expected `int"),
        ({"mechanisms": "ECDSA_Signature"}, "Expected `array`"),
        ({"operations": 5}, "unknown field `operations`"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said_and_nothing_is_made(
    core: Core, wanted: dict[str, object], message: str
) -> None:
    before = (await core.request("GET", "/keys", user=ADMIN)).body
    good = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    answer = await generate(core, **(good | wanted))
    assert answer.status == 400
    assert message in answer.message
    assert (await core.request("GET", "/keys", user=ADMIN)).body == before


@pytest.mark.parametrize("missing", ["type", "mechanisms"])
async def test_type_and_mechanisms_are_required(core: Core, missing: str) -> None:
    wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    del wanted[missing]
    answer = await generate(core, **wanted)
    assert answer.status == 400
    assert f"`{missing}`" in answer.message


@pytest.mark.parametrize(
    ("key_type", "length"),
    [
        ("RSA", 1023),
        ("RSA", 8193),
        ("RSA", 0),
        ("RSA", -1024),
        ("RSA", 10**40),
        ("RSA", None),
        ("Generic", 127),
        ("Generic", 8193),
        ("Generic", None),
    ],
)
async def test_a_length_out_of_range_is_400(core: Core, key_type: str, length: int | None) -> None:
    mechanism = algorithms.BY_NAME[key_type].mechanisms[0].name
    more = {} if length is None else {"length": length}
    answer = await generate(core, type=key_type, mechanisms=[mechanism], **more)
    assert answer.status == 400
    assert answer.message


@pytest.mark.parametrize("length", [1024, 1025, 1500, 2048])
async def test_an_rsa_key_has_the_length_asked_for(core: Core, length: int) -> None:
    key_id = f"rsa-{length}"
    await core.generate(key_id, "RSA", "RSA_Signature_PKCS1", length=length)
    shown = (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()
    modulus = int.from_bytes(base64.b64decode(shown["public"]["modulus"]))
    assert modulus.bit_length() == length
    assert base64.b64decode(shown["public"]["publicExponent"]) == b"\1\0\1"
    pem = (await core.request("GET", f"/keys/{key_id}/public.pem", user=ADMIN)).body
    public = load_pem_public_key(pem)
    assert isinstance(public, RSAPublicKey)
    assert public.public_numbers().n == modulus


@pytest.mark.parametrize("length", [128, 129, 8192])
async def test_a_generic_key_shows_nothing_of_itself(core: Core, length: int) -> None:
    key_id = f"generic-{length}"
    await core.generate(key_id, "Generic", "AES_Encryption_CBC", length=length)
    shown = (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()
    assert set(shown) == {"mechanisms", "type", "restrictions", "operations"}


async def test_a_length_for_a_type_that_has_none_is_ignored(core: Core) -> None:
    answer = await generate(core, type="EC_P256", mechanisms=["ECDSA_Signature"], length=4711)
    assert answer.status == 201


async def test_a_taken_id_is_409_and_the_key_stays_as_it_was(core: Core) -> None:
    await core.generate("taken", "EC_P256", "ECDSA_Signature")
    before = (await core.request("GET", "/keys/taken", user=ADMIN)).body
    answer = await generate(core, id="taken", type="EC_P384", mechanisms=["ECDSA_Signature"])
    assert answer.status == 409
    assert "taken" in answer.message
    assert (await core.request("GET", "/keys/taken", user=ADMIN)).body == before


async def test_label_and_tags_are_set_from_the_start(core: Core) -> None:
    await core.generate(
        "tagged",
        "EC_P256",
        "ECDSA_Signature",
        label="Ünïcode ✓",
        restrictions={"tags": ["munich", "berlin", "berlin"]},
    )
    shown = (await core.request("GET", "/keys/tagged", user=ADMIN)).json()
    assert shown["label"] == "Ünïcode ✓"
    assert shown["restrictions"] == {"tags": ["berlin", "munich"]}


async def test_an_operator_may_not_generate(core: Core, operator: Credentials) -> None:
    wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    answer = await core.request("POST", "/keys/generate", user=operator, json=wanted)
    assert answer.status == 403


async def test_two_keys_are_never_the_same(core: Core) -> None:
    for key_id in ("one", "two"):
        await core.generate(key_id, "Curve25519", "EdDSA_Signature")
    one, two = [
        (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()["public"]
        for key_id in ("one", "two")
    ]
    assert one != two
