"""POST /keys and PUT /keys/{id}, with JSON and with a PEM file."""

import base64
import json
import re

import pytest
from btclib_libsecp256k1 import keys
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from keystead import algorithms
from tests.support.core import ADMIN, Answer, Core, Credentials, b64
from tests.support.curves import MONTGOMERY, WEIERSTRASS

RSA_KEY = rsa.generate_private_key(65537, 2048)
WITH_RAW_BYTES = {
    "Curve25519": ed25519.Ed25519PrivateKey,
    "Ed448": ed448.Ed448PrivateKey,
    "ML_DSA_44": mldsa.MLDSA44PrivateKey,
    "ML_DSA_65": mldsa.MLDSA65PrivateKey,
    "ML_DSA_87": mldsa.MLDSA87PrivateKey,
    "ML_KEM_768": mlkem.MLKEM768PrivateKey,
    "ML_KEM_1024": mlkem.MLKEM1024PrivateKey,
    **MONTGOMERY,
}
"""Types whose keys are bytes of their own, not numbers."""
JSON = "application/json"
BOUNDARY = "------boundary"
BIP32_MASTER = bytes.fromhex("0339a36013301597daef41fbe593a02cc513d0b55527ec2df1050e2e8ff49c85c2")
"""Of the BIP's first vector, whose seed counts to 15."""
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def rsa_parts(key: rsa.RSAPrivateKey = RSA_KEY) -> dict[str, str]:
    numbers = key.private_numbers()
    return {
        "primeP": b64(octets(numbers.p)),
        "primeQ": b64(octets(numbers.q)),
        "publicExponent": b64(octets(numbers.public_numbers.e)),
    }


def made(key_type: str) -> tuple[dict[str, str], dict[str, str] | None]:
    """Return a new private key as the API takes it, and its public half as the API gives it."""
    if key_type == "RSA":
        public = RSA_KEY.public_key().public_numbers()
        return rsa_parts(), {
            "modulus": b64(octets(public.n)),
            "publicExponent": b64(octets(public.e)),
        }
    if key_type == "Generic":
        return {"data": b64(bytes(range(32)))}, None
    if key_type == "BIP32":
        point = keys.serialize(keys.parse(BIP32_MASTER), compressed=False)
        return {"data": b64(bytes(range(16)))}, {"data": b64(point)}
    if key_type in WITH_RAW_BYTES:
        key = WITH_RAW_BYTES[key_type].generate()
        return {"data": b64(key.private_bytes_raw())}, {
            "data": b64(key.public_key().public_bytes_raw())
        }
    key = ec.generate_private_key(WEIERSTRASS[key_type])
    scalar = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"data": b64(scalar)}, {"data": b64(point)}


def pem_of(key, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """Return a body of these parts: headers after `Content-Disposition: form-data; `, content."""
    body = b""
    for disposition, content in parts:
        head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def upload(pem: bytes, **arguments: object) -> bytes:
    arguments.setdefault("mechanisms", ["ECDSA_Signature"])
    return multipart(
        ('name="arguments"', json.dumps(arguments).encode()),
        ('name="key_file"; filename="key.pem"', pem),
    )


async def put_json(core: Core, key_id: str, **wanted: object) -> Answer:
    return await core.request("PUT", f"/keys/{key_id}", user=ADMIN, json=wanted)


async def put_pem(core: Core, key_id: str, body: bytes, content_type: str = MULTIPART) -> Answer:
    headers = {"content-type": content_type}
    return await core.request("PUT", f"/keys/{key_id}", user=ADMIN, body=body, headers=headers)


async def shown(core: Core, key_id: str) -> dict[str, object]:
    answer = await core.request("GET", f"/keys/{key_id}", user=ADMIN)
    assert answer.status == 200, answer
    return answer.json()


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", algorithms.ALL, ids=lambda row: row.name)
async def test_every_type_is_imported_by_its_numbers(core: Core, row: algorithms.Algorithm) -> None:
    private, public = made(row.name)
    mechanism = row.mechanisms[0].name
    answer = await put_json(
        core, f"json-{row.name}", type=row.name, mechanisms=[mechanism], private=private
    )
    assert (answer.status, answer.body) == (204, b"")
    expected = {
        "type": row.name,
        "mechanisms": [mechanism],
        "restrictions": {},
        "operations": 0,
    }
    if public is not None:
        expected["public"] = public
    assert await shown(core, f"json-{row.name}") == expected


async def test_post_makes_up_the_id(core: Core) -> None:
    private, public = made("EC_P256")
    wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "private": private}
    answer = await core.request("POST", "/keys", user=ADMIN, json=wanted)
    assert answer.status == 201
    key_id = answer.json()["id"]
    assert re.fullmatch("[0-9a-f]{20}", key_id)
    assert answer.headers["Location"] == f"/api/v1/keys/{key_id}"
    assert (await shown(core, key_id))["public"] == public


async def test_label_and_tags_come_with_the_key(core: Core) -> None:
    private, _ = made("EC_P256")
    await put_json(
        core,
        "dressed",
        type="EC_P256",
        mechanisms=[],
        private=private,
        label="✓",
        restrictions={"tags": ["b", "a"]},
    )
    found = await shown(core, "dressed")
    assert found["label"] == "✓"
    assert found["restrictions"] == {"tags": ["a", "b"]}


async def test_mechanisms_of_another_type_or_none_are_kept_on_import(core: Core) -> None:
    private, _ = made("EC_P256")
    mechanisms = ["RSA_Decryption_RAW", "ECDSA_Signature"]
    answer = await put_json(core, "strange", type="EC_P256", mechanisms=mechanisms, private=private)
    assert answer.status == 204
    assert (await shown(core, "strange"))["mechanisms"] == mechanisms
    answer = await put_json(core, "idle", type="EC_P256", mechanisms=[], private=private)
    assert answer.status == 204
    assert (await shown(core, "idle"))["mechanisms"] == []


async def test_a_taken_id_is_409_and_the_key_stays_as_it_was(core: Core) -> None:
    private, public = made("EC_P256")
    other, _ = made("EC_P256")
    for key, status in ((private, 204), (other, 409)):
        answer = await put_json(core, "once", type="EC_P256", mechanisms=[], private=key)
        assert answer.status == status
    assert "already exists" in answer.message
    assert (await shown(core, "once"))["public"] == public


async def test_numbers_of_other_types_are_ignored_when_empty(core: Core) -> None:
    private, _ = made("EC_P256")
    answer = await put_json(
        core,
        "verbose",
        type="EC_P256",
        mechanisms=[],
        private={"primeP": "", "primeQ": "", "publicExponent": "", **private},
    )
    assert answer.status == 204


def bad_rsa() -> dict[str, dict[str, str]]:
    good = rsa_parts()
    prime = RSA_KEY.private_numbers().p
    return {
        "without primeQ": {name: value for name, value in good.items() if name != "primeQ"},
        "without exponent": {name: good[name] for name in ("primeP", "primeQ")},
        "the same prime twice": good | {"primeQ": good["primeP"]},
        "a composite": good | {"primeP": b64(octets(prime + 2))},
        "an even exponent": good | {"publicExponent": b64(b"\2")},
        "exponent 1": good | {"publicExponent": b64(b"\1")},
        "too short": {"primeP": b64(b"\x0b"), "primeQ": b64(b"\x0d"), "publicExponent": b64(b"\3")},
        "too long": good | {"primeP": b64(b"\xff" * 1025)},
        "zero": good | {"primeP": b64(b"\0")},
        "data": {"data": b64(bytes(32))},
        "not base64": good | {"primeP": "x"},
        "empty": {},
    }


BAD_RSA = bad_rsa()


@pytest.mark.parametrize("what", BAD_RSA)
async def test_unsound_rsa_numbers_are_400(core: Core, what: str) -> None:
    answer = await put_json(core, "bad", type="RSA", mechanisms=[], private=BAD_RSA[what])
    assert answer.status == 400
    assert answer.message
    assert (await core.request("GET", "/keys/bad", user=ADMIN)).status == 404


@pytest.mark.parametrize("key_type", [*WEIERSTRASS, "Curve25519", "Generic"])
@pytest.mark.parametrize("data", [None, "", "=", "AA==", "A", "AAAA AAAA", b64(bytes(2000))])
async def test_data_of_a_wrong_length_or_form_is_400(
    core: Core, key_type: str, data: str | None
) -> None:
    private = {} if data is None else {"data": data}
    answer = await put_json(core, "bad", type=key_type, mechanisms=[], private=private)
    assert answer.status == 400
    assert answer.message
    assert (await core.request("GET", "/keys/bad", user=ADMIN)).status == 404


@pytest.mark.parametrize("key_type", WEIERSTRASS)
async def test_a_scalar_outside_of_the_group_is_400(core: Core, key_type: str) -> None:
    size = (WEIERSTRASS[key_type].key_size + 7) // 8
    for scalar in (bytes(size), b"\xff" * size):
        answer = await put_json(
            core, "bad", type=key_type, mechanisms=[], private={"data": b64(scalar)}
        )
        assert answer.status == 400


async def test_base64_may_have_line_breaks(core: Core) -> None:
    private = {name: "\n".join(re.findall(".{1,64}", value)) for name, value in rsa_parts().items()}
    answer = await put_json(core, "wrapped", type="RSA", mechanisms=[], private=private)
    assert answer.status == 204


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"[]", "Invalid data for JSON schema"),
        (b"null", "Invalid data for JSON schema"),
        (b"{}", "missing required field"),
        (b'{"mechanisms":[],"type":"EC_P256"}', "`private`"),
        (b'{"mechanisms":[],"type":"EC_P224","private":{}}', "Unknown key type"),
        (b'{"mechanisms":["X"],"type":"EC_P256","private":{}}', "Unknown key mechanism"),
        (b'{"mechanisms":[1],"type":"EC_P256","private":{}}', "Expected `str`"),
        (b'{"mechanisms":[],"type":"EC_P256","private":{"d":""}}', "unknown field `d`"),
        (b'{"mechanisms":[],"type":"EC_P256","private":{},"id":"x"}', "unknown field `id`"),
    ],
)
async def test_a_body_of_another_shape_is_400(core: Core, body: bytes, message: str) -> None:
    for method, path in (("PUT", "/keys/bad"), ("POST", "/keys")):
        answer = await core.request(
            method, path, user=ADMIN, body=body, headers={"content-type": JSON}
        )
        assert answer.status == 400
        assert message in answer.message


async def test_an_operator_may_not_import(core: Core, operator: Credentials) -> None:
    private, _ = made("EC_P256")
    wanted = {"type": "EC_P256", "mechanisms": [], "private": private}
    for method, path in (("PUT", "/keys/bad"), ("POST", "/keys")):
        answer = await core.request(method, path, user=operator, json=wanted)
        assert answer.status == 403


# --- PEM -----------------------------------------------------------------------------------------

FORMS = {"PKCS8": PrivateFormat.PKCS8, "traditional": PrivateFormat.TraditionalOpenSSL}
PEM_KEYS = {
    "RSA": RSA_KEY,
    **{name: kind.generate() for name, kind in WITH_RAW_BYTES.items()},
    **{name: ec.generate_private_key(curve) for name, curve in WEIERSTRASS.items()},
}


@pytest.mark.parametrize(
    ("key_type", "form"),
    [*((key_type, "PKCS8") for key_type in PEM_KEYS)]
    + [(key_type, "traditional") for key_type in ["RSA", *WEIERSTRASS]],
)
async def test_every_type_is_imported_from_pem_and_recognised(
    core: Core, key_type: str, form: str
) -> None:
    key = PEM_KEYS[key_type]
    key_id = f"pem-{key_type}-{form}"
    answer = await put_pem(core, key_id, upload(pem_of(key, FORMS[form]), mechanisms=[]))
    assert (answer.status, answer.body) == (204, b""), answer
    assert (await shown(core, key_id))["type"] == key_type
    pem = (await core.request("GET", f"/keys/{key_id}/public.pem", user=ADMIN)).body
    assert pem == key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


async def test_arguments_of_a_pem_import_carry_label_tags_and_mechanisms(core: Core) -> None:
    body = upload(
        pem_of(PEM_KEYS["EC_P256"]),
        mechanisms=["ECDSA_Signature"],
        restrictions={"tags": ["t"]},
        label="from a file",
    )
    answer = await core.request(
        "POST", "/keys", user=ADMIN, body=body, headers={"content-type": MULTIPART}
    )
    assert answer.status == 201
    found = await shown(core, answer.json()["id"])
    assert found["label"] == "from a file"
    assert found["restrictions"] == {"tags": ["t"]}
    assert found["mechanisms"] == ["ECDSA_Signature"]


async def test_parts_are_told_apart_by_the_order_of_their_names(core: Core) -> None:
    pem = pem_of(PEM_KEYS["EC_P256"])
    arguments = b'{"mechanisms":[]}'
    for number, parts in enumerate(
        [
            (('name="key_file"', pem), ('name="arguments"', arguments)),
            (('name="a"', arguments), ('name="b"', pem)),
            (('name="z"', pem), ('name="y"', arguments)),
        ]
    ):
        answer = await put_pem(core, f"ordered-{number}", multipart(*parts))
        assert answer.status == 204
    swapped = multipart(('name="b"', arguments), ('name="a"', pem))
    assert (await put_pem(core, "swapped", swapped)).status == 400


async def test_parts_may_have_types_of_their_own(core: Core) -> None:
    pem = pem_of(PEM_KEYS["EC_P256"])
    body = (
        (
            f"--{BOUNDARY}\r\n"
            'Content-Disposition: form-data; name="arguments"\r\n'
            "Content-Type: application/json\r\n\r\n"
            '{"mechanisms": []}\r\n'
            f"--{BOUNDARY}\r\n"
            'Content-Disposition: form-data; name="key_file"; filename="x"\r\n'
            "Content-Type: application/x-pem-file\r\n\r\n"
        ).encode()
        + pem
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    quoted = f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"'
    assert (await put_pem(core, "typed", body, quoted)).status == 204


ARGUMENTS = ('name="arguments"', b'{"mechanisms":[]}')
KEY_FILE = ('name="key_file"', pem_of(PEM_KEYS["EC_P256"]))


GOOD = multipart(ARGUMENTS, KEY_FILE)
MALFORMED = {
    "nothing": (b"", MULTIPART),
    "one part": (multipart(ARGUMENTS), MULTIPART),
    "three parts": (multipart(ARGUMENTS, KEY_FILE, KEY_FILE), MULTIPART),
    "a thousand parts": (multipart(*[ARGUMENTS] * 1000), MULTIPART),
    "no boundary": (GOOD, "multipart/form-data"),
    "another boundary": (GOOD, "multipart/form-data; boundary=other"),
    "an empty boundary": (GOOD, "multipart/form-data; boundary="),
    "no end": (GOOD[:-40], MULTIPART),
    "no JSON": (multipart(('name="arguments"', b"{"), KEY_FILE), MULTIPART),
    "an unknown argument": (
        multipart(('name="arguments"', b'{"mechanisms":[],"x":1}'), KEY_FILE),
        MULTIPART,
    ),
    "an unknown mechanism": (
        multipart(('name="arguments"', b'{"mechanisms":["X"]}'), KEY_FILE),
        MULTIPART,
    ),
    "no name": (multipart(("", b'{"mechanisms":[]}'), KEY_FILE), MULTIPART),
    "an empty file": (multipart(ARGUMENTS, ('name="key_file"', b"")), MULTIPART),
    "no PEM": (multipart(ARGUMENTS, ('name="key_file"', b"not a pem")), MULTIPART),
    "other bytes": (b"\xff" * 100, MULTIPART),
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_upload_is_400(core: Core, what: str) -> None:
    answer = await put_pem(core, "bad", *MALFORMED[what])
    assert answer.status == 400
    assert answer.message
    assert (await core.request("GET", "/keys/bad", user=ADMIN)).status == 404


UNUSABLE = {
    "encrypted": (
        RSA_KEY.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        ),
        "encrypted",
    ),
    "public": (
        RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "no private key, only: public key",
    ),
    "another curve": (pem_of(ec.generate_private_key(ec.SECP224R1())), "not supported"),
    "cut off": (pem_of(RSA_KEY)[:200], "no valid private key"),
    "misnamed": (pem_of(RSA_KEY).replace(b"PRIVATE", b"PIRATE"), "no valid private key"),
}


@pytest.mark.parametrize("what", UNUSABLE)
async def test_a_pem_that_will_not_do_is_400(core: Core, what: str) -> None:
    pem, message = UNUSABLE[what]
    answer = await put_pem(core, "bad", upload(pem))
    assert answer.status == 400
    assert message in answer.message


async def test_no_error_repeats_what_was_uploaded(core: Core) -> None:
    secret = base64.b64encode(b"the scalar of somebody").decode()
    for body, content_type in [
        (upload(b"-----BEGIN PRIVATE KEY-----\n" + secret.encode()), MULTIPART),
        (json.dumps({"private": {"data": secret}, "type": secret}).encode(), JSON),
        (b'{"mechanisms":[],"type":"RSA","private":{"primeP":"%b"}}' % secret.encode(), JSON),
        (b'{"mechanisms":[],"type":"RSA","private":"%b"}' % secret.encode(), JSON),
    ]:
        answer = await put_pem(core, "bad", body, content_type)
        assert answer.status == 400
        assert secret[:8] not in answer.message
    assert secret[:8] not in "".join(core.log_lines)
