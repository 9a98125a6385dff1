"""Inputs that are made to take long: each is answered, with no more work than its size is worth."""

import time
from collections.abc import Iterator

import pytest

from keystead.api.resources.shapes import MAX_NAMES
from keystead.model.ids import MAX_TAGS
from tests.support.core import ADMIN, Core

SIZE = 1000 * 1000
SECONDS = 0.5
"""Of the CPU, for any of them; a quadratic one takes minutes."""
PEM = {"content-type": "application/x-pem-file"}
OCTETS = {"content-type": "application/octet-stream"}
FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'


@pytest.fixture
def quick() -> Iterator[None]:
    """The test takes little of the CPU."""
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS


def nested(depth: int) -> bytes:
    """Return DER: sequences in sequences."""
    der = b""
    for _ in range(depth):
        length = len(der)
        size = length.to_bytes(3, "big")
        der = b"\x30" + (bytes([length]) if length < 128 else b"\x83" + size) + der
    return der


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n" * (SIZE // 5),
        PART % (b"a", b"") * (SIZE // 60),
        b"--b\r\nX: " + b"a" * SIZE,
        b"--b\r\n" + b"X: a\r\n" * (SIZE // 6),
        b"--b\r\n\r\n" * (SIZE // 7),
        PART % (b"a", b"\r\n--a" * (SIZE // 5)),
        PART % (b"a", b"\r" * SIZE),
        PART % (b"a" * (SIZE // 2), b""),
        PART % (b"arguments", b"{}") * 3 + b"--b--\r\n",
        PART % (b"arguments", b"[" * (SIZE // 2)) + PART % (b"key_file", b"") + b"--b--\r\n",
        PART % (b"arguments", b"{}") + PART % (b"key_file", b"-" * (SIZE // 2)) + b"--b--\r\n",
    ],
    ids=range(12),
)
async def test_multipart_bombs_are_400(core: Core, body: bytes):
    answer = await core.request(
        "POST", "/keys", user=ADMIN, body=body, headers={"content-type": FORM}
    )
    assert answer.status == 400


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "parameters",
    [
        ";a=" * 5000,
        '; boundary="' + "\\" * 15_000,
        '; boundary="' + '\\"' * 7_000 + '"',
        "; " * 7000,
        "; boundary=b" * 1000,
        "; boundary=" + "b" * 15_000,
        "; boundary=",
    ],
    ids=range(7),
)
async def test_so_are_strange_boundaries(core: Core, parameters: str):
    headers = {"content-type": "multipart/form-data" + parameters}
    answer = await core.request("POST", "/keys", user=ADMIN, body=b"x" * SIZE, headers=headers)
    assert answer.status == 400


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "pem",
    [
        b"-----BEGIN CERTIFICATE-----\n" * (SIZE // 28),
        b"-----BEGIN CERTIFICATE-----\n" + b"\n" * SIZE,
        b"-----BEGIN CERTIFICATE-----" + b" " * SIZE,
        b"-" * SIZE,
        nested(1000),
    ],
    ids=range(5),
)
async def test_pem_that_never_ends_is_400(core: Core, pem: bytes):
    answer = await core.request("PUT", "/config/tls/cert.pem", user=ADMIN, body=pem, headers=PEM)
    assert answer.status == 400


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accept", "a/b;q=0.1;" * 1500),
        ("accept", "a/b," * 4000),
        ("accept", ";" * 15_000),
        ("if-none-match", '"x",' * 4000),
        ("if-none-match", "W/" * 8000),
        ("if-match", "," * 15_000),
        ("authorization", "Basic " + "A" * 15_000),
        ("authorization", "Basic " + " " * 15_000),
        ("authorization", "Basic " * 2500),
    ],
)
async def test_long_lists_in_headers_are_read_once(core: Core, name: str, value: str):
    headers = {"authorization": "Basic eA=="} | {name: value}
    answer = await core.request("GET", "/users", headers=headers)
    assert answer.status == 401
    answer = await core.request("GET", "/users", user=ADMIN, headers={name: value})
    assert answer.status in {200, 401, 406, 412}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("query", ["&" * 1900, "%41=%41&" * 200, "filter" * 300, "%" * 1900])
async def test_a_query_of_many_parameters_is_read_once(core: Core, query: str):
    assert (await core.request("GET", f"/keys?{query}", user=ADMIN)).status in {200, 400}


async def test_a_key_has_so_many_tags_and_no_more(core: Core):
    tags = [f"t{number}" for number in range(MAX_TAGS)]
    wanted = {"id": "many", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    for sent, status in (([*tags, "more"], 400), (tags, 201)):
        answer = await core.request(
            "POST", "/keys/generate", user=ADMIN, json={**wanted, "restrictions": {"tags": sent}}
        )
        assert answer.status == status
    for tag, status in (("more", 400), ("t1", 304)):
        answer = await core.request(
            "PUT", f"/keys/many/restrictions/tags/{tag}", user=ADMIN, headers=OCTETS
        )
        assert answer.status == status


async def test_a_request_for_a_certificate_has_so_many_names_and_no_more(core: Core):
    await core.generate("host", "EC_P256", "ECDSA_Signature")
    names = [f"h{number}.example" for number in range(MAX_NAMES)]
    for sent, status in (([*names, "more.example"], 400), (names, 200)):
        answer = await core.request(
            "POST",
            "/keys/host/csr.pem",
            user=ADMIN,
            json={"commonName": "host", "subjectAltNames": sent},
        )
        assert answer.status == status
