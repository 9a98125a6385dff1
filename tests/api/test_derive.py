"""POST /keys/{id}/derive: secrets that leave, and secrets that become keys."""

import base64
import hashlib
import hmac
import subprocess
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.core import ADMIN, Answer, Core, Credentials, b64
from tests.support.curves import MONTGOMERY, WEIERSTRASS

MASTER = bytes(range(32))
"""The value of the key `master`."""
HKDF_MECHANISMS = ["HKDF_SHA256", "HKDF_SHA384", "HKDF_SHA512"]


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    """A key of each type that agrees, named as its type; and `master`, which derives."""
    for name in (*WEIERSTRASS, *MONTGOMERY):
        runner.run(core.generate(name, name, "ECDH_Derivation"))
    runner.run(import_master(core, "master"))


async def import_master(core: Core, key_id: str, *, by: Credentials = ADMIN, **more: Any) -> None:
    wanted = {"type": "Generic", "mechanisms": HKDF_MECHANISMS, "private": {"data": b64(MASTER)}}
    answer = await core.request("PUT", f"/keys/{key_id}", user=by, json=wanted | more)
    assert answer.status == 204, answer


@pytest.fixture
def derive(core: Core, operator: Credentials):
    async def derive(key_id: str, *, by: Credentials = operator, **wanted: Any) -> Answer:
        return await core.request("POST", f"/keys/{key_id}/derive", user=by, json=wanted)

    return derive


async def show(core: Core, key_id: str, *, by: Credentials = ADMIN) -> dict[str, Any]:
    return (await core.request("GET", f"/keys/{key_id}", user=by)).json()


async def public_of(core: Core, key_id: str) -> Any:
    answer = await core.request("GET", f"/keys/{key_id}/public.pem", user=ADMIN)
    return load_pem_public_key(answer.body)


def peer_of(key_type: str) -> Any:
    if key_type in MONTGOMERY:
        return MONTGOMERY[key_type].generate()
    return ec.generate_private_key(WEIERSTRASS[key_type])


def shared(peer: Any, public: Any) -> bytes:
    if isinstance(peer, ec.EllipticCurvePrivateKey):
        return peer.exchange(ec.ECDH(), public)
    return peer.exchange(public)


def info_of(peer: Any) -> str:
    return b64(peer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


# --- secrets that leave --------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", [*WEIERSTRASS, *MONTGOMERY])
async def test_a_secret_is_the_one_that_the_other_party_has(core: Core, derive, key_type) -> None:
    peer = peer_of(key_type)
    before = (await show(core, key_type))["operations"]
    answer = await derive(key_type, mode="ECDH", publicKey=info_of(peer))
    assert answer.status == 200, answer
    assert answer.json() == {"secret": b64(shared(peer, await public_of(core, key_type)))}
    assert (await show(core, key_type))["operations"] == before + 1


async def test_a_kdf_is_applied_inside(core: Core, derive) -> None:
    peer = peer_of("X25519")
    kdf = {"hkdf": "SHA256", "length": 64, "salt": b64(b"salt"), "info": b64(b"info")}
    answer = await derive("X25519", mode="ECDH", publicKey=info_of(peer), kdf=kdf)
    secret = shared(peer, await public_of(core, "X25519"))
    assert answer.json() == {"secret": b64(HKDF(SHA256(), 64, b"salt", b"info").derive(secret))}


@pytest.mark.parametrize("bits", [256, 384, 512])
async def test_hkdf_derives_what_two_hmacs_make(derive, bits: int) -> None:
    answer = await derive(
        "master", mode=f"HKDF_SHA{bits}", salt=b64(b"salt"), info=b64(b"info"), length=bits // 8
    )
    extracted = hmac.digest(b"salt", MASTER, f"sha{bits}")
    expanded = hmac.digest(extracted, b"info\1", f"sha{bits}")
    assert answer.json() == {"secret": b64(expanded)}


@pytest.mark.parametrize(("key_type", "algorithm"), [("X25519", "X25519"), ("EC_P256", "EC")])
async def test_openssl_on_the_other_side_has_the_same_secret(
    core: Core, derive, tmp_path, key_type: str, algorithm: str
) -> None:
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    ours.write_bytes((await core.request("GET", f"/keys/{key_type}/public.pem", user=ADMIN)).body)
    options = ["-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "EC" else []
    openssl("genpkey", "-algorithm", algorithm, *options, "-out", theirs)
    public = openssl("pkey", "-in", theirs, "-pubout", "-outform", "DER")
    secret = openssl("pkeyutl", "-derive", "-inkey", theirs, "-peerkey", ours)
    answer = await derive(key_type, mode="ECDH", publicKey=b64(public))
    assert answer.json() == {"secret": b64(secret)}


def openssl(*arguments: object) -> bytes:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - our words


@pytest.mark.parametrize(
    ("key_id", "wanted", "message"),
    [
        ("X25519", {"mode": "ECDH"}, "ECDH needs the field publicKey to derive."),
        ("X25519", {"mode": "ECDH", "publicKey": "?"}, "publicKey is not valid base64"),
        ("X25519", {"mode": "ECDH", "publicKey": b64(bytes(32))}, "small order"),
        ("X448", {"mode": "ECDH", "publicKey": b64(bytes(56))}, "small order"),
        ("X448", {"mode": "ECDH", "publicKey": b64(bytes(32))}, "nor has it 56 bytes"),
        ("EC_P256", {"mode": "ECDH", "publicKey": b64(b"\4" + bytes(64))}, "not a point"),
        (
            "X25519",
            {"mode": "ECDH", "publicKey": "AA==", "length": 32},
            "not take the field length",
        ),
        ("X25519", {"mode": "ECDH", "publicKey": "AA==", "kdf": {"hkdf": "SHA256"}}, "`length`"),
        ("X25519", {"mode": "ECDH", "publicKey": "AA==", "kdf": "SHA256"}, "Expected `object"),
        (
            "X25519",
            {"mode": "ECDH", "publicKey": "AA==", "kdf": {"hkdf": "SHA256", "length": 16, "x": 1}},
            "unknown field `x`",
        ),
        (
            "X25519",
            {
                "mode": "ECDH",
                "publicKey": "AA==",
                "kdf": {"hkdf": "SHA256", "length": 16, "salt": "?"},
            },
            "kdf.salt is not valid base64",
        ),
        ("master", {"mode": "HKDF_SHA256"}, "HKDF_SHA256 needs the field length to derive."),
        ("master", {"mode": "HKDF_SHA256", "length": 15}, "16 to 8160 bytes, not 15"),
        ("master", {"mode": "HKDF_SHA256", "length": 8161}, "16 to 8160 bytes, not 8161"),
        ("master", {"mode": "HKDF_SHA256", "length": "16"}, "Expected `int"),
        ("master", {"mode": "HKDF_SHA256", "length": 16.5}, "Expected `int"),
        ("master", {"mode": "HKDF_SHA256", "length": 16, "salt": b64(bytes(1025))}, "up to 1024"),
        (
            "master",
            {"mode": "HKDF_SHA256", "length": 16, "publicKey": "AA=="},
            "does not take the field publicKey",
        ),
        ("master", {"mode": "HKDF_SHA1", "length": 16}, "Unknown derive mode."),
        ("master", {"mode": "ECDH", "publicKey": "AA=="}, "mechanisms do not allow"),
        ("master", {"length": 16}, "`mode`"),
    ],
)
async def test_what_is_wrong_is_said_and_not_counted(
    core: Core, derive, key_id: str, wanted: dict[str, Any], message: str
) -> None:
    before = await show(core, key_id)
    answer = await derive(key_id, **wanted)
    assert (answer.status, message in answer.message) == (400, True), answer.message
    assert await show(core, key_id) == before


async def test_a_public_key_on_another_curve_names_both(derive) -> None:
    answer = await derive("EC_P256", mode="ECDH", publicKey=info_of(peer_of("EC_P384")))
    assert answer.status == 400
    assert answer.message == "The publicKey is on the curve secp384r1, not secp256r1."


# --- secrets that stay ---------------------------------------------------------------------------

INTO = {"mechanisms": ["HMAC_SHA256"]}


async def used(core: Core, user: Credentials, key_id: str) -> bytes:
    """Return the HMAC of `m` by a key."""
    wanted = {"mode": "HMAC_SHA256", "message": b64(b"m")}
    answer = await core.request("POST", f"/keys/{key_id}/sign", user=user, json=wanted)
    assert answer.status == 200, answer
    return base64.b64decode(answer.json()["signature"])


async def test_a_secret_becomes_a_key_and_does_not_leave(
    core: Core, derive, operator: Credentials
) -> None:
    into = {**INTO, "id": "stays", "label": "a label"}
    answer = await derive("master", mode="HKDF_SHA256", length=32, into=into)
    assert (answer.status, answer.json()) == (201, {"id": "stays"})
    assert answer.headers["Location"] == "/api/v1/keys/stays"
    assert await show(core, "stays") == {
        "type": "Generic",
        "mechanisms": ["HMAC_SHA256"],
        "restrictions": {},
        "operations": 0,
        "label": "a label",
    }
    derived = HKDF(SHA256(), 32, None, b"").derive(MASTER)
    assert await used(core, operator, "stays") == hmac.digest(derived, b"m", hashlib.sha256)


async def test_the_secret_of_an_agreement_becomes_a_key_too(
    core: Core, derive, operator: Credentials
) -> None:
    peer = peer_of("EC_P384")
    wanted = {"mode": "ECDH", "publicKey": info_of(peer)}
    secret = shared(peer, await public_of(core, "EC_P384"))
    for bits, value in ((None, secret), (256, secret[:32])):
        more = {} if bits is None else {"length": bits}
        answer = await derive("EC_P384", **wanted, into={**INTO, **more})
        assert answer.status == 201, answer
        mac = await used(core, operator, answer.json()["id"])
        assert mac == hmac.digest(value, b"m", hashlib.sha256)


@pytest.mark.parametrize(
    ("into", "status", "message"),
    [
        ({"mechanisms": []}, 400, "Empty set of mechanisms."),
        ({"mechanisms": ["ECDSA_Signature"]}, 400, "Mechanism does not match key type."),
        ({"mechanisms": ["AES"]}, 400, "Unknown key mechanism."),
        ({}, 400, "`mechanisms`"),
        ({**INTO, "id": "-"}, 400, "ID may only contain"),
        ({**INTO, "id": "generate"}, 400, ""),
        ({**INTO, "id": "master"}, 409, "already exists"),
        ({**INTO, "label": "x" * 33}, 400, "label"),
        ({**INTO, "type": "Generic"}, 400, "unknown field `type`"),
        ({**INTO, "restrictions": {"tags": ["-"]}}, 400, "ID may only contain"),
        ({**INTO, "length": 264}, 400, "at most 256 bits, not 264"),
        ({**INTO, "length": 129}, 400, "multiple of 8"),
        ({**INTO, "length": 120}, 400, "128 to 8192 bits"),
        ({**INTO, "length": 0}, 400, "128 to 8192 bits"),
        ({**INTO, "length": -8}, 400, "at most 256 bits, not -8"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_and_no_use_is_counted(
    core: Core, derive, into: dict[str, Any], status: int, message: str
) -> None:
    before = await show(core, "master"), (await core.request("GET", "/keys", user=ADMIN)).body
    answer = await derive("master", mode="HKDF_SHA256", length=32, into=into)
    assert (answer.status, message in answer.message) == (status, True), answer.message
    after = await show(core, "master"), (await core.request("GET", "/keys", user=ADMIN)).body
    assert after == before


async def test_a_secret_that_is_too_long_for_a_key_does_not_become_one(derive) -> None:
    wanted = {"mode": "HKDF_SHA256", "length": 2000}
    answer = await derive("master", **wanted, into=INTO)
    assert (answer.status, "8192 bits" in answer.message) == (400, True)
    assert (await derive("master", **wanted, into={**INTO, "length": 8192})).status == 201


async def test_a_new_key_has_the_tags_of_the_deriving_one_unless_others_are_given(
    core: Core,
) -> None:
    tagged = await core.add_user("tagged", "Operator")
    answer = await core.request(
        "PUT",
        "/users/tagged/tags/t1",
        user=ADMIN,
        body=b"",
        headers={"content-type": "application/json"},
    )
    assert answer.status == 204, answer
    await import_master(core, "tagged-master", restrictions={"tags": ["t1", "t2"]})
    for more, tags in (({}, ["t1", "t2"]), ({"restrictions": {"tags": ["t3"]}}, ["t3"])):
        wanted = {"mode": "HKDF_SHA256", "length": 32, "into": {**INTO, **more}}
        answer = await core.request("POST", "/keys/tagged-master/derive", user=tagged, json=wanted)
        assert (await show(core, answer.json()["id"]))["restrictions"] == {"tags": tags}


async def test_a_namespace_s_key_makes_keys_in_the_namespace_within_its_quota(core: Core) -> None:
    admin = await core.add_namespace("ns")
    operator = await core.add_user("ns~operator", "Operator", by=admin)
    await import_master(core, "master-of-ns", by=admin)
    await core.request("PUT", "/namespaces/ns/quota", user=ADMIN, json={"keys": 2})
    wanted = {"mode": "HKDF_SHA256", "length": 32, "into": {**INTO, "id": "first"}}
    path = "/keys/master-of-ns/derive"
    assert (await core.request("POST", path, user=operator, json=wanted)).status == 201
    assert (await show(core, "first", by=admin))["type"] == "Generic"
    assert (await core.request("GET", "/keys/first", user=ADMIN)).status == 404
    wanted["into"] = INTO
    answer = await core.request("POST", path, user=operator, json=wanted)
    assert (answer.status, "may hold 2 keys" in answer.message) == (409, True)
    listed = await core.request("GET", "/keys", user=admin)
    assert listed.json() == [{"id": "first"}, {"id": "master-of-ns"}]


async def test_an_administrator_derives_nothing(derive) -> None:
    answer = await derive("master", by=ADMIN, mode="HKDF_SHA256", length=32, into=INTO)
    assert answer.status == 403


async def test_a_derived_key_is_still_there_after_a_restart(
    core: Core, derive, operator: Credentials
) -> None:
    into = {**INTO, "id": "survivor"}
    await derive("master", mode="HKDF_SHA512", length=64, into=into)
    before = await used(core, operator, "survivor")
    again = await core.restarted()
    await again.request("POST", "/unlock", json={"passphrase": "unlockPassphrase"})
    assert await used(again, operator, "survivor") == before


# --- any body ------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=40),
    st.binary(max_size=80).map(b64),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(
        st.sampled_from(["hkdf", "length", "salt", "info", "mechanisms", "id", "restrictions"]),
        st.integers() | st.text(max_size=5) | st.lists(st.just("HMAC_SHA256"), max_size=2),
        max_size=4,
    ),
)
BODIES = st.fixed_dictionaries(
    {"mode": st.sampled_from(["ECDH", "HKDF_SHA256", "HKDF_SHA512"]) | VALUES},
    optional=dict.fromkeys(("publicKey", "kdf", "salt", "info", "length", "into", "x"), VALUES),
)


def test_no_generated_body_breaks_anything(runner, derive) -> None:
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(key_id=st.sampled_from(["master", "X25519", "EC_P256"]), body=BODIES)
    def sent(key_id: str, body: dict[str, Any]) -> None:
        answer = runner.run(derive(key_id, **body))
        assert answer.status in {200, 201, 400}, answer

    sent()


@pytest.mark.parametrize("key_type", MONTGOMERY)
async def test_a_key_that_only_agrees_signs_no_certificate_request(core: Core, key_type) -> None:
    answer = await core.request(
        "POST", f"/keys/{key_type}/csr.pem", user=ADMIN, json={"commonName": "a.example"}
    )
    assert (answer.status, answer.message) == (
        400,
        f"{key_type} keys cannot sign a certificate request.",
    )
