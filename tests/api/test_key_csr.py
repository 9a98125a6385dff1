"""POST /keys/{id}/csr.pem."""

import ipaddress
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from keystead import algorithms
from tests.support.core import ADMIN, Answer, Core, Credentials
from tests.support.uses import SIGNERS

SUBJECT = {
    "commonName": "keystead.example",
    "countryName": "DE",
    "stateOrProvinceName": "Berlin",
    "localityName": "Mitte",
    "organizationName": "Example",
    "organizationalUnitName": "Keys",
    "emailAddress": "keys@keystead.example",
}
OIDS = {
    "commonName": NameOID.COMMON_NAME,
    "countryName": NameOID.COUNTRY_NAME,
    "stateOrProvinceName": NameOID.STATE_OR_PROVINCE_NAME,
    "localityName": NameOID.LOCALITY_NAME,
    "organizationName": NameOID.ORGANIZATION_NAME,
    "organizationalUnitName": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    for row in algorithms.ALL:
        first = row.mechanisms[0].name
        length = 1024 if row.name == "RSA" else 128
        runner.run(core.generate(row.name, row.name, first, length=length))


async def post(core: Core, key_id: str, **subject: object) -> Answer:
    return await core.request("POST", f"/keys/{key_id}/csr.pem", user=ADMIN, json=subject)


async def csr(core: Core, key_id: str, **subject: object) -> x509.CertificateSigningRequest:
    answer = await post(core, key_id, **subject)
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-pem-file"
    return x509.load_pem_x509_csr(answer.body)


@pytest.mark.parametrize("row", SIGNERS, ids=lambda row: row.name)
async def test_every_type_signs_a_request_for_itself(core: Core, row: algorithms.Algorithm) -> None:
    request = await csr(core, row.name, commonName="x")
    assert request.is_signature_valid
    pem = (await core.request("GET", f"/keys/{row.name}/public.pem", user=ADMIN)).body
    public = request.public_key()
    assert public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == pem


@pytest.mark.parametrize(
    "row", [row for row in algorithms.ALL if row not in SIGNERS], ids=lambda row: row.name
)
async def test_every_other_type_signs_none(core: Core, row: algorithms.Algorithm) -> None:
    answer = await post(core, row.name, commonName="x")
    assert (answer.status, answer.message) == (
        400,
        f"{row.name} keys cannot sign a certificate request.",
    )


async def test_the_subject_is_what_was_sent(core: Core) -> None:
    request = await csr(core, "EC_P256", **SUBJECT)
    found = {attribute.oid: attribute.value for attribute in request.subject}
    assert found == {OIDS[name]: value for name, value in SUBJECT.items()}


async def test_empty_fields_are_left_out(core: Core) -> None:
    empty = dict.fromkeys(SUBJECT, "") | {"commonName": "x"}
    request = await csr(core, "EC_P256", **empty)
    assert [attribute.oid for attribute in request.subject] == [NameOID.COMMON_NAME]


def names_in(request: x509.CertificateSigningRequest) -> list[object]:
    extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [name.value for name in extension.value]


async def test_alternative_names_are_the_common_name_unless_given(core: Core) -> None:
    assert names_in(await csr(core, "EC_P256", commonName="a.example")) == ["a.example"]


async def test_an_empty_list_of_alternative_names_means_no_extension(core: Core) -> None:
    request = await csr(core, "EC_P256", commonName="a.example", subjectAltNames=[])
    assert list(request.extensions) == []


async def test_alternative_names_are_dns_names_or_addresses(core: Core) -> None:
    names = ["b.example", "*.c.example", "IP:192.0.2.1", "IP:2001:db8::1"]
    request = await csr(core, "EC_P256", commonName="a.example", subjectAltNames=names)
    assert names_in(request) == [
        "b.example",
        "*.c.example",
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_address("2001:db8::1"),
    ]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
async def test_an_address_needs_no_prefix(core: Core, address: str) -> None:
    request = await csr(core, "EC_P256", commonName="router", subjectAltNames=[address])
    assert names_in(request) == [ipaddress.ip_address(address)]


@pytest.mark.parametrize("name", ["認" * 22, "ü" * 33])
async def test_a_common_name_of_64_characters_may_have_more_bytes(core: Core, name: str) -> None:
    answer = await post(core, "EC_P256", commonName=name)
    assert answer.status == 200
    request = x509.load_pem_x509_csr(answer.body)
    assert name.encode() in request.public_bytes(Encoding.DER)


async def test_what_an_email_address_says_is_left_to_the_authority(core: Core) -> None:
    request = await csr(core, "EC_P256", commonName="a.example", emailAddress="not an address")
    (email,) = request.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
    assert email.value == "not an address"


@pytest.mark.parametrize(
    ("field", "bound"),
    [
        ("commonName", 64),
        ("organizationName", 64),
        ("organizationalUnitName", 64),
        ("localityName", 128),
        ("stateOrProvinceName", 128),
        ("emailAddress", 255),
    ],
)
async def test_a_name_over_its_bound_is_refused(core: Core, field: str, bound: int) -> None:
    names = {"commonName": "a.example"}
    assert (await post(core, "EC_P256", **names | {field: "x" * bound})).status == 200
    answer = await post(core, "EC_P256", **names | {field: "x" * (bound + 1)})
    assert answer.status == 400
    assert f"{field} has {bound + 1} characters" in answer.message


async def test_an_international_alternative_name_is_named_as_it_was_sent(core: Core) -> None:
    answer = await post(core, "EC_P256", commonName="x.example", subjectAltNames=["bücher.example"])
    assert answer.status == 400
    assert "bücher.example" in answer.message


@pytest.mark.parametrize(
    "subject",
    [
        {},
        {"commonName": ""},
        {"commonName": 1},
        {"commonName": "x" * 65},
        {"commonName": "x", "countryName": "Germany"},
        {"commonName": "x", "title": "Dr"},
        {"commonName": "x", "subjectAltNames": "x"},
        {"commonName": "x", "subjectAltNames": [1]},
        {"commonName": "x", "subjectAltNames": ["IP:nowhere"]},
        {"commonName": "x", "subjectAltNames": [""]},
        {"commonName": "x", "subjectAltNames": ["ü.example"]},
        {"commonName": "x\ud800"},
        {"commonName": "x", "organizationName": "\ud800"},
    ],
)
async def test_a_subject_that_will_not_do_is_400(core: Core, subject: dict) -> None:
    answer = await post(core, "EC_P256", **subject)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.message


async def test_an_operator_may_ask_for_one(core: Core, operator: Credentials) -> None:
    answer = await core.request(
        "POST", "/keys/EC_P256/csr.pem", user=operator, json={"commonName": "x"}
    )
    assert answer.status == 200


async def test_a_key_that_is_not_there_is_404_before_the_body(core: Core) -> None:
    assert (await post(core, "nothing")).status == 404


async def test_a_request_counts_as_an_operation_and_is_logged(core: Core) -> None:
    async def count() -> int:
        return (await core.request("GET", "/keys/EC_P256", user=ADMIN)).json()["operations"]

    before = await count()
    await csr(core, "EC_P256", commonName="x")
    assert await count() == before + 1
    event = json.loads(core.log_lines[-1])
    assert (event["event"], event["key"], event["caller"]) == (
        "certificate request signed",
        "EC_P256",
        "admin",
    )


async def test_an_operator_needs_the_tag_and_a_mechanism_that_signs(
    core: Core, operator: Credentials
) -> None:
    async def ask(key_id: str, user: Credentials) -> int:
        path = f"/keys/{key_id}/csr.pem"
        return (await core.request("POST", path, user=user, json={"commonName": "x"})).status

    tags = {"restrictions": {"tags": ["vip"]}}
    await core.generate("vip", "EC_P256", "ECDSA_Signature", **tags)
    await core.generate("decrypts", "RSA", "RSA_Decryption_OAEP_SHA256", length=2048)
    assert await ask("vip", operator) == 403
    assert await ask("decrypts", operator) == 400
    assert await ask("vip", ADMIN) == await ask("decrypts", ADMIN) == 200
    await core.request("PUT", f"/users/{operator[0]}/tags/vip", user=ADMIN, body=b"")
    assert await ask("vip", operator) == 200
