"""POST /keys/{id}/decapsulate and encapsulate."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.core import ADMIN, Answer, Core, Credentials, b64

CIPHERTEXT_BYTES = {"ML_KEM_768": 1088, "ML_KEM_1024": 1568}


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    """A key of each parameter set, named as its type; and one that does something else."""
    for name in CIPHERTEXT_BYTES:
        runner.run(core.generate(name, name, "ML_KEM_Decapsulation"))
    runner.run(core.generate("signs", "EC_P256", "ECDSA_Signature"))


@pytest.fixture
def use(core: Core, operator: Credentials):
    async def use(key_id: str, how: str, **wanted: Any) -> Answer:
        return await core.request("POST", f"/keys/{key_id}/{how}", user=operator, json=wanted)

    return use


async def show(core: Core, key_id: str) -> dict[str, Any]:
    return (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()


@pytest.mark.parametrize("name", CIPHERTEXT_BYTES)
async def test_whoever_has_the_public_key_sends_a_secret(core: Core, use, name: str) -> None:
    pem = (await core.request("GET", f"/keys/{name}/public.pem", user=ADMIN)).body
    secret, ciphertext = load_pem_public_key(pem).encapsulate()
    before = (await show(core, name))["operations"]
    answer = await use(name, "decapsulate", ciphertext=b64(ciphertext))
    assert (answer.status, answer.json()) == (200, {"secret": b64(secret)})
    assert (await show(core, name))["operations"] == before + 1


@pytest.mark.parametrize("name", CIPHERTEXT_BYTES)
async def test_a_secret_that_is_encapsulated_is_decapsulated(use, name: str) -> None:
    answer = await use(name, "encapsulate")
    assert answer.status == 200, answer
    assert list(answer.json()) == ["ciphertext", "secret"]
    opened = await use(name, "decapsulate", ciphertext=answer.json()["ciphertext"])
    assert opened.json() == {"secret": answer.json()["secret"]}


async def test_encapsulate_takes_no_body_at_all(core: Core, operator: Credentials) -> None:
    answer = await core.request("POST", "/keys/ML_KEM_768/encapsulate", user=operator)
    assert answer.status == 200, answer
    for body in (b"[]", b'{"mode":"ML_KEM"}', b"null", b"{"):
        answer = await core.request(
            "POST", "/keys/ML_KEM_768/encapsulate", user=operator, body=body
        )
        assert answer.status == 400, body


@pytest.mark.parametrize("name", CIPHERTEXT_BYTES)
async def test_a_ciphertext_of_the_right_length_never_fails(use, name: str) -> None:
    secrets = set()
    for byte in (0, 1, 255):
        ciphertext = b64(bytes([byte]) * CIPHERTEXT_BYTES[name])
        answers = [await use(name, "decapsulate", ciphertext=ciphertext) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].json() == answers[1].json()
        secrets.add(answers[0].json()["secret"])
    assert len(secrets) == 3


@pytest.mark.parametrize(
    ("key_id", "wanted", "message"),
    [
        ("ML_KEM_768", {"ciphertext": b64(bytes(1087))}, "has 1088 bytes, not 1087"),
        ("ML_KEM_1024", {"ciphertext": b64(bytes(1088))}, "has 1568 bytes, not 1088"),
        ("ML_KEM_768", {"ciphertext": ""}, "has 1088 bytes, not 0"),
        ("ML_KEM_768", {"ciphertext": "?"}, "ciphertext is not valid base64"),
        ("ML_KEM_768", {"ciphertext": 1}, "Expected `str`"),
        ("ML_KEM_768", {}, "`ciphertext`"),
        ("ML_KEM_768", {"ciphertext": "", "mode": "ML_KEM"}, "unknown field `mode`"),
        ("signs", {"ciphertext": b64(bytes(1088))}, "do not allow it to decapsulate"),
    ],
)
async def test_what_is_wrong_is_said_and_not_counted(
    core: Core, use, key_id: str, wanted: dict[str, Any], message: str
) -> None:
    before = await show(core, key_id)
    answer = await use(key_id, "decapsulate", **wanted)
    assert (answer.status, message in answer.message) == (400, True), answer.message
    assert await show(core, key_id) == before


async def test_a_secret_becomes_a_key_and_does_not_leave(
    core: Core, use, operator: Credentials
) -> None:
    made = (await use("ML_KEM_1024", "encapsulate")).json()
    into = {"id": "stays", "mechanisms": ["HMAC_SHA256"]}
    answer = await use("ML_KEM_1024", "decapsulate", ciphertext=made["ciphertext"], into=into)
    assert (answer.status, answer.json()) == (201, {"id": "stays"})
    assert answer.headers["Location"] == "/api/v1/keys/stays"
    wanted = {"mode": "HMAC_SHA256", "message": b64(b"m")}
    answer = await core.request("POST", "/keys/stays/sign", user=operator, json=wanted)
    expected = hmac.digest(base64.b64decode(made["secret"]), b"m", hashlib.sha256)
    assert answer.json() == {"signature": b64(expected)}


async def test_encapsulate_keeps_nothing(use) -> None:
    answer = await use("ML_KEM_768", "encapsulate", into={"mechanisms": ["HMAC_SHA256"]})
    assert (answer.status, "unknown field `into`" in answer.message) == (400, True)


@pytest.mark.parametrize("name", CIPHERTEXT_BYTES)
async def test_it_signs_no_certificate_request(core: Core, name: str) -> None:
    answer = await core.request(
        "POST", f"/keys/{name}/csr.pem", user=ADMIN, json={"commonName": "a.example"}
    )
    assert (answer.status, answer.message) == (
        400,
        f"{name} keys cannot sign a certificate request.",
    )


VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=20),
    st.integers(1080, 1096).map(lambda length: b64(bytes(length))),
    st.fixed_dictionaries(
        {"mechanisms": st.just(["HMAC_SHA256"]) | st.text(max_size=5)},
        optional={"length": st.integers(-300, 300), "id": st.text(max_size=5)},
    ),
)


def test_no_generated_body_breaks_anything(runner, use) -> None:
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        how=st.sampled_from(["decapsulate", "encapsulate"]),
        body=st.dictionaries(st.sampled_from(["ciphertext", "into", "mode"]), VALUES),
    )
    def sent(how: str, body: dict[str, Any]) -> None:
        answer = runner.run(use("ML_KEM_768", how, **body))
        assert answer.status in {200, 201, 400}, answer

    sent()
