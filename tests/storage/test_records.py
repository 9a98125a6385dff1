"""How records are written, and what is made of ones that make no sense."""

import hashlib
import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import CorruptRecord
from keystead.model.ids import Label, NamespaceId, Tag, UserId
from keystead.model.keys import KeyRecord, Origin, PrivateMaterial, StoredCertificate
from keystead.model.policy import ApprovalRule, PolicyDocument, TaggedApprovers, parse_policy
from keystead.model.users import PassphraseVerifier, Role, ScryptParameters, User
from keystead.storage import records

ADMIN = UserId.parse("admin")
TAGS = st.frozensets(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,9}", fullmatch=True).map(Tag))
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
COSTS = st.builds(
    ScryptParameters,
    n=st.sampled_from([2, 2**14, 2**17]),
    r=st.integers(1, 8),
    p=st.integers(1, 64),
)
VERIFIERS = st.builds(
    PassphraseVerifier,
    salt=st.binary(max_size=32),
    digest=st.binary(max_size=64),
    scrypt=st.none() | COSTS,
)
USERS = st.builds(
    User,
    user_id=st.just(ADMIN),
    real_name=TEXT,
    role=st.sampled_from(Role),
    verifier=VERIFIERS,
    tags=TAGS,
)
MATERIALS = st.one_of(
    st.builds(
        PrivateMaterial, pem=st.binary(max_size=50), public=st.none() | st.binary(max_size=50)
    ),
    st.builds(
        PrivateMaterial, raw=st.binary(max_size=50), raw_type=st.sampled_from(["Generic", "BIP32"])
    ),
)
EVERY_RULE = PolicyDocument(
    enabled=False,
    not_before="2026-01-01T00:00:00Z",
    not_after="2027-01-01T00:00:00Z",
    max_uses=1000,
    max_per_minute=60,
    clients=("192.0.2.0/24", "2001:db8::/32"),
    modes=("PSS_SHA256",),
    approvals=ApprovalRule(1, TaggedApprovers("owner"), 60, 5),
    frozen=True,
)
KEY_FIELDS = {
    "private": MATERIALS,
    "mechanisms": st.frozensets(st.sampled_from(["ECDSA_Signature", "EdDSA_Signature"])),
    "tags": TAGS,
    "label": TEXT.filter(lambda text: len(text.encode()) <= 32).map(Label),
    "operations": st.integers(0, 2**53),
    "certificate": st.none() | st.builds(StoredCertificate, TEXT.filter(str.isascii), st.binary()),
    "policy": st.sampled_from([None, parse_policy(EVERY_RULE)]),
    "uses_left": st.integers(0, 2**53),
    "uses_of": st.none() | st.binary(min_size=1, max_size=8).map(bytes.hex),
    "origin": st.sampled_from(Origin),
    "created": st.none() | st.integers(0, 2**53),
}
KEYS = st.builds(KeyRecord, **KEY_FIELDS).map(
    lambda record: record if record.policy else replace(record, uses_left=None, uses_of=None)
)


@given(user=USERS)
def test_a_user_comes_back_as_written(user):
    assert records.decode_user(ADMIN, records.encode_user(user), path="/p") == user


def test_every_field_of_a_key_is_among_those_that_are_written_and_read():
    assert set(KEY_FIELDS) == {one.name for one in fields(KeyRecord)}, (
        "a new field of a key belongs in KEY_FIELDS of this file"
    )


@given(record=KEYS)
def test_a_key_comes_back_as_written(record):
    assert records.decode_key(records.encode_key(record), path="/p") == record


def test_keys_share_the_memory_of_what_is_the_same_for_many():
    raw = records.encode_key(KeyRecord(PrivateMaterial(raw=b"secret"), frozenset({"HMAC_SHA256"})))
    one, other = (records.decode_key(raw, path="a key") for _ in range(2))
    assert one.mechanisms is other.mechanisms
    assert one.tags is other.tags


def test_strings_hold_raw_bytes_and_escapes_are_nethsms():
    user = User(
        ADMIN, "Ævar", Role.OPERATOR, PassphraseVerifier(b"\x00\x1f\x7f\x80\xff", b'"\\/\n', None)
    )
    assert records.encode_user(user) == (
        b'{"name":"\xc3\x86var","salt":"\\u0000\\u001f\\u007f\x80\xff",'
        b'"digest":"\\"\\\\/\\n","role":"Operator","tags":[]}'
    )


def test_our_own_fields_are_left_out_when_they_say_nothing():
    record = KeyRecord(PrivateMaterial(raw=b"abc"), frozenset({"AES_Decryption_CBC"}))
    assert records.encode_key(record) == (
        b'{"mechanisms":["AES_Decryption_CBC"],"priv":{"raw":"YWJj"},"cert":null,'
        b'"operations":0,"restrictions":{}}'
    )


def test_a_key_with_everything_is_written_as_nethsm_does():
    record = KeyRecord(
        private=PrivateMaterial(pem=b"PEM\n"),
        mechanisms=frozenset({"B", "A"}),
        tags=frozenset({Tag("paris"), Tag("berlin")}),
        label=Label("für"),
        operations=7,
        certificate=StoredCertificate("application/octet-stream", b"\x01\xfe"),
    )
    assert records.encode_key(record) == (
        b'{"mechanisms":["A","B"],"priv":{"PEM":"PEM\\n"},'
        b'"cert":["application/octet-stream","\\u0001\xfe"],"operations":7,'
        b'"restrictions":{"tags":["berlin","paris"]},"label":"f\xc3\xbcr"}'
    )


USER = {"name": "a", "salt": "s", "digest": "d", "role": "Operator", "tags": []}
KEY = {
    "mechanisms": [],
    "priv": {"raw": "YWJj"},
    "cert": None,
    "operations": 0,
    "restrictions": {},
}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"secretsecret",
        b"[]",
        b"{}",
        b"\xff\xfe",
        json.dumps(USER).encode()[:-1],
        json.dumps(USER | {"name": None}).encode(),
        json.dumps(USER | {"salt": "secret 漢"}, ensure_ascii=True).encode(),
        json.dumps(USER | {"role": "Emperor"}).encode(),
        json.dumps(USER | {"tags": ["/../secret"]}).encode(),
        json.dumps(USER | {"tags": "secret"}).encode(),
        json.dumps(USER | {"scrypt": [3, 8, 1]}).encode(),
        json.dumps(USER | {"scrypt": [0, 8, 1]}).encode(),
        json.dumps(USER | {"scrypt": [2**30, 8, 1]}).encode(),
        json.dumps(USER | {"scrypt": [2, 8, 10**6]}).encode(),
        json.dumps(USER | {"scrypt": [2, 0, 1]}).encode(),
        json.dumps(USER | {"scrypt": [2]}).encode(),
    ],
)
def test_a_user_record_that_makes_no_sense_is_corrupt(raw):
    with pytest.raises(CorruptRecord) as caught:
        records.decode_user(ADMIN, raw, path="/authentication/admin")
    assert str(caught.value) == "The record /authentication/admin cannot be read."


@pytest.mark.parametrize(
    "change",
    [
        {"priv": {}},
        {"priv": {"raw": "YWJj", "PEM": "secret"}},
        {"priv": {"raw": "not base64!"}},
        {"priv": {"raw": "YWJ"}},
        {"priv": {"sealed": "secret"}},
        {"priv": {"PEM": "secret 漢"}},
        {"priv": {"raw": "YWJj", "public": "YWJj"}},
        {"priv": {"PEM": "secret", "public": "not base64!"}},
        {"priv": {"PEM": "secret", "public": "YWJ"}},
        {"priv": {"public": "YWJj"}},
        {"mechanisms": None},
        {"cert": ["text/plain"]},
        {"cert": ["text/plain", "secret 漢"]},
        {"operations": -1},
        {"operations": "1"},
        {"origin": "smuggled"},
        {"usesOf": "ü"},
        {"created": -1},
        {"label": "x" * 33},
        {"label": "\xff"},
        {"restrictions": {"tags": [" "]}},
        {"restrictions": {"novelty": "secret"}},
    ],
)
def test_a_key_record_that_makes_no_sense_is_corrupt(change):
    raw = json.dumps(KEY | change).encode()
    with pytest.raises(CorruptRecord) as caught:
        records.decode_key(raw, path="/key/mine")
    assert str(caught.value) == "The record /key/mine cannot be read."
    assert caught.value.__cause__ is None


def test_a_record_of_earlier_software_has_an_unknown_origin():
    record = records.decode_key(json.dumps(KEY).encode(), path="/p")
    assert (record.origin, record.created) == (Origin.UNKNOWN, None)


@given(raw=st.binary(max_size=100))
def test_noise_is_corrupt_and_nothing_else(raw):
    with pytest.raises(CorruptRecord):
        records.decode_key(raw, path="/p")
    with pytest.raises(CorruptRecord):
        records.decode_user(ADMIN, raw, path="/p")


def test_a_name_that_is_not_utf_8_does_not_lock_its_user_out():
    raw = b'{"name":"\xff","salt":"","digest":"","role":"Operator","tags":[]}'
    assert records.decode_user(ADMIN, raw, path="/p").real_name == "\N{REPLACEMENT CHARACTER}"


def test_a_key_without_material_cannot_be_written():
    with pytest.raises(ValueError, match="PEM or raw"):
        records.encode_key(KeyRecord(PrivateMaterial(), frozenset()))


def test_a_namespace_record_holds_its_own_name():
    raw = records.encode_namespace(NamespaceId("ns1"))
    assert raw == b'"ns1"'
    records.check_namespace(NamespaceId("ns1"), raw, path="/p")
    with pytest.raises(CorruptRecord):
        records.check_namespace(NamespaceId("ns2"), raw, path="/p")


@pytest.mark.parametrize("byte", range(256))
def test_no_certificate_makes_a_record_much_longer_than_itself(byte):
    certificate = StoredCertificate("application/octet-stream", bytes([byte]) * 10_000)
    record = KeyRecord(PrivateMaterial(raw=bytes(16)), frozenset(), certificate=certificate)
    stored = records.encode_key(record)
    assert len(stored) < 2 * 10_000 + 500
    assert records.decode_key(stored, path="/p") == record


def test_what_certificates_hold_is_written_as_a_nethsm_does():
    der = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(100))
    for data in (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", der):
        certificate = StoredCertificate("text/plain", data)
        record = KeyRecord(PrivateMaterial(raw=bytes(16)), frozenset(), certificate=certificate)
        stored = json.loads(records.encode_key(record).decode("latin-1"))
        assert stored["cert"] == ["text/plain", data.decode("latin-1")]
        assert "cert64" not in stored


@pytest.mark.parametrize("data", [b"", b"\0" * 100])
def test_a_certificate_that_was_escaped_before_is_still_read(data):
    record = KeyRecord(PrivateMaterial(raw=bytes(16)), frozenset())
    stored = json.loads(records.encode_key(record)) | {
        "cert": ["text/plain", data.decode("latin-1")]
    }
    read = records.decode_key(json.dumps(stored).encode(), path="/p")
    assert read.certificate == StoredCertificate("text/plain", data)


@pytest.mark.parametrize(
    "more", [{"cert64": ["a", "?"]}, {"cert": ["a", "b"], "cert64": ["a", ""]}]
)
def test_two_certificates_or_bad_base64_are_corrupt(more):
    record = KeyRecord(PrivateMaterial(raw=bytes(16)), frozenset())
    stored = json.loads(records.encode_key(record)) | more
    with pytest.raises(CorruptRecord):
        records.decode_key(json.dumps(stored).encode(), path="/p")


@pytest.mark.parametrize("name", ["_ListedKeyJson", "_ShownKeyJson"])
def test_a_list_reads_every_field_that_a_record_may_have(name):
    listed, whole = getattr(records, name), records._KeyJson  # noqa: SLF001 - their names only
    assert set(listed.__struct_fields__) == set(whole.__struct_fields__), (
        f"a new field of _KeyJson belongs in {name}, too"
    )


@given(record=KEYS)
def test_a_list_shows_of_a_record_what_is_in_it(record):
    shown = records.decode_shown(records.encode_key(record), path="/p")
    assert shown == (
        record.private,
        record.mechanisms,
        record.tags,
        record.label,
        record.operations,
        record.certificate is not None,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "\u00ff"},
        {"restrictions": {"tags": ["no tag"]}},
        {"operations": -1},
        {"cert": "text"},
        {"priv": {}},
        {"unknown": 1},
    ],
)
def test_a_list_shows_no_record_that_it_cannot_read(wrong):
    record = KeyRecord(PrivateMaterial(raw=bytes(16)), frozenset())
    stored = json.loads(records.encode_key(record)) | wrong
    with pytest.raises(CorruptRecord, match="/p"):
        records.decode_shown(json.dumps(stored, ensure_ascii=False).encode("latin-1"), path="/p")


def test_a_key_with_a_certificate_in_base64_is_listed():
    certificate = StoredCertificate("application/octet-stream", bytes(8192))
    record = KeyRecord(PrivateMaterial(raw=bytes(16)), frozenset(), certificate=certificate)
    encoded = records.encode_key(record)
    assert b"cert64" in encoded
    assert records.decode_listed(encoded, path="/key/a") == (record.tags, record.label)
