"""GET, PUT and DELETE /keys/{id}/cert."""

import pytest

from tests.support.core import ADMIN, Answer, Core, Credentials

BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture
def key(runner, core: Core) -> str:
    """A new key without a certificate."""
    wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    answer = runner.run(core.request("POST", "/keys/generate", user=ADMIN, json=wanted))
    return answer.json()["id"]


async def put(core: Core, key_id: str, certificate: bytes) -> Answer:
    path = f"/keys/{key_id}/cert"
    return await core.request("PUT", path, user=ADMIN, body=certificate, headers=BYTES)


@pytest.mark.parametrize(
    "certificate",
    [b"-----BEGIN CERTIFICATE-----\n", b"\x00\xff\r\n", b"", bytes(2**20)],
    ids=["PEM", "binary", "empty", "a mebibyte"],
)
async def test_any_bytes_up_to_a_mebibyte_are_given_back_as_stored(
    core: Core, key: str, operator: Credentials, certificate: bytes
) -> None:
    answer = await put(core, key, certificate)
    assert (answer.status, answer.body) == (201, b"")
    for user in (ADMIN, operator):
        answer = await core.request("GET", f"/keys/{key}/cert", user=user)
        assert answer.status == 200
        assert answer.body == certificate
        assert answer.headers["Content-Type"] == "application/octet-stream"


async def test_more_than_a_mebibyte_is_413(core: Core, key: str) -> None:
    assert (await put(core, key, bytes(2**20 + 1))).status == 413
    assert (await core.request("GET", f"/keys/{key}/cert", user=ADMIN)).status == 404


async def test_a_second_certificate_conflicts_until_the_first_is_deleted(
    core: Core, key: str
) -> None:
    assert (await put(core, key, b"one")).status == 201
    answer = await put(core, key, b"two")
    assert answer.status == 409
    assert answer.message
    assert (await put(core, key, b"one")).status == 409
    assert (await core.request("GET", f"/keys/{key}/cert", user=ADMIN)).body == b"one"
    assert (await core.request("DELETE", f"/keys/{key}/cert", user=ADMIN)).status == 204
    assert (await put(core, key, b"two")).status == 201
    assert (await core.request("GET", f"/keys/{key}/cert", user=ADMIN)).body == b"two"


async def test_without_a_certificate_it_is_404_to_get_and_delete(core: Core, key: str) -> None:
    for key_id in (key, "nothing"):
        for method in ("GET", "DELETE"):
            answer = await core.request(method, f"/keys/{key_id}/cert", user=ADMIN)
            assert answer.status == 404
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.message


async def test_a_key_that_is_not_there_takes_none(core: Core) -> None:
    assert (await put(core, "nothing", b"x")).status == 404


@pytest.mark.parametrize("content_type", ["application/json", "application/x-pem-file", "", None])
async def test_only_octets_are_taken(core: Core, key: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    path = f"/keys/{key}/cert"
    answer = await core.request("PUT", path, user=ADMIN, body=b"x", headers=headers)
    assert answer.status == 415


async def test_an_operator_reads_only(core: Core, key: str, operator: Credentials) -> None:
    path = f"/keys/{key}/cert"
    answer = await core.request("PUT", path, user=operator, body=b"x", headers=BYTES)
    assert answer.status == 403
    assert (await core.request("DELETE", path, user=operator)).status == 403


async def test_the_certificate_is_no_part_of_what_is_shown_of_the_key(core: Core, key: str) -> None:
    before = (await core.request("GET", f"/keys/{key}", user=ADMIN)).body
    await put(core, key, b"certificate")
    assert (await core.request("GET", f"/keys/{key}", user=ADMIN)).body == before
